//! Measures the floating-point operations a second of real networks' convolutions. Usage: `convolutions [THREADS [SET
//! [LAYER]]]`, where SET is the name of an instruction set, e.g. `AVX2` (the widest if it is missing), and LAYER one of
//! the layers below (all of them if it is missing).

use athanor_kernels::InstructionSet;
use athanor_kernels::conv::{Convolution, forward, input_gradient, kernel_gradient};

fn main() {
    let threads = std::env::args().nth(1).and_then(|threads| threads.parse().ok()).unwrap_or(2_usize);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads");
    let (named, layer) = (std::env::args().nth(2), std::env::args().nth(3));
    let mut sets = InstructionSet::available().into_iter();
    let set = sets.find(|set| named.as_ref().is_none_or(|name| set.name() == name)).expect("the instruction set");
    println!("{threads} threads, {}", set.name());
    // Channels, rows, channels, kernel, stride, padding.
    let layers = [
        ("stem", 4, 224, 64, 7, 2, 3),
        ("layer1", 64, 56, 64, 3, 1, 1),
        ("layer2 first", 64, 56, 128, 3, 2, 1),
        ("layer2", 128, 28, 128, 3, 1, 1),
        ("layer3", 256, 14, 256, 3, 1, 1),
        ("layer4", 512, 7, 512, 3, 1, 1),
        ("1x1 wide", 256, 56, 64, 1, 1, 0),
        ("1x1 deep", 1024, 14, 256, 1, 1, 0),
        ("dense 1x1", 512, 28, 128, 1, 1, 0),
        ("dense 3x3", 128, 28, 32, 3, 1, 1),
        ("small", 512, 2, 512, 3, 1, 1),
    ];
    let wanted = |name: &str| layer.as_ref().is_none_or(|layer| layer == name);
    for (name, channels_in, side, channels_out, kernel, stride, padding) in layers.into_iter().filter(|it| wanted(it.0))
    {
        let convolution = Convolution {
            batch: 8,
            channels_in,
            size: [side, side],
            channels_out,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        };
        let numbers = |count: usize| (0..count).map(|at| (at % 17) as f32 - 8.0).collect::<Vec<f32>>();
        let input = numbers(convolution.input_length());
        let kernels = numbers(convolution.kernel_length());
        let gradient = numbers(convolution.output_length());
        let operations = 2.0 * (convolution.output_length() * channels_in * kernel * kernel) as f64;
        let time = |work: &dyn Fn() -> Vec<f32>| {
            std::hint::black_box(work());
            let runs = (2e10 / operations).clamp(1.0, 50.0) as u32;
            let start = busy();
            (0..runs).for_each(|_| drop(std::hint::black_box(work())));
            operations * f64::from(runs) * threads as f64 / (busy() - start) / 1e9
        };
        println!(
            "{name:14} forward {:6.1}  input {:6.1}  kernels {:6.1} GFLOP/s",
            time(&|| forward(set, &convolution, &input, &kernels, None)),
            time(&|| input_gradient(set, &convolution, &gradient, &kernels)),
            time(&|| kernel_gradient(set, &convolution, &input, &gradient)),
        );
    }
}

/// Seconds that this process's threads have had a CPU for.
fn busy() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let times = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    times.filter_map(|text| text.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e9
}
