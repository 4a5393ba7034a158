//! Measures the floating-point operations a second of real networks' convolutions. Usage: `convolutions [THREADS [SET
//! [LAYER]]]`, where SET is the name of an instruction set, e.g. `AVX2` (the widest if it is missing), and LAYER one of
//! the layers below (all of them if it is missing).

use athanor_kernels::InstructionSet;
use athanor_kernels::conv::{Convolution, forward, input_gradient, kernel_gradient};

/// Name; batch; channels, rows, channels; kernel, stride, padding.
type Layer = (&'static str, usize, [usize; 3], [usize; 2], usize, [usize; 2]);

/// Layers of the ResNets and DenseNets, then of Inception v3 at 224 x 224 and at 96 x 96.
const LAYERS: [Layer; 26] = [
    ("stem", 8, [4, 224, 64], [7, 7], 2, [3, 3]),
    ("layer1", 8, [64, 56, 64], [3, 3], 1, [1, 1]),
    ("layer2 first", 8, [64, 56, 128], [3, 3], 2, [1, 1]),
    ("layer2", 8, [128, 28, 128], [3, 3], 1, [1, 1]),
    ("layer3", 8, [256, 14, 256], [3, 3], 1, [1, 1]),
    ("layer4", 8, [512, 7, 512], [3, 3], 1, [1, 1]),
    ("1x1 wide", 8, [256, 56, 64], [1, 1], 1, [0, 0]),
    ("1x1 deep", 8, [1024, 14, 256], [1, 1], 1, [0, 0]),
    ("dense 1x1", 8, [512, 28, 128], [1, 1], 1, [0, 0]),
    ("dense 3x3", 8, [128, 28, 32], [3, 3], 1, [1, 1]),
    ("small", 8, [512, 2, 512], [3, 3], 1, [1, 1]),
    ("2a 111", 8, [32, 111, 32], [3, 3], 1, [0, 0]),
    ("3b 54", 8, [64, 54, 80], [1, 1], 1, [0, 0]),
    ("4a 54", 8, [80, 54, 192], [3, 3], 1, [0, 0]),
    ("5x5 25", 8, [48, 25, 64], [5, 5], 1, [2, 2]),
    ("pool 25", 8, [288, 25, 64], [1, 1], 1, [0, 0]),
    ("1x1 12", 8, [768, 12, 192], [1, 1], 1, [0, 0]),
    ("1x7 12", 8, [192, 12, 192], [1, 7], 1, [0, 3]),
    ("7x1 12", 8, [192, 12, 192], [7, 1], 1, [3, 0]),
    ("1x3 5", 8, [384, 5, 384], [1, 3], 1, [0, 1]),
    ("5x5 9", 16, [48, 9, 64], [5, 5], 1, [2, 2]),
    ("1x1 4", 16, [768, 4, 192], [1, 1], 1, [0, 0]),
    ("1x7 4", 16, [192, 4, 192], [1, 7], 1, [0, 3]),
    ("7x1 4", 16, [192, 4, 192], [7, 1], 1, [3, 0]),
    ("3x1 1", 16, [384, 1, 384], [3, 1], 1, [1, 0]),
    ("3x3 1", 16, [448, 1, 384], [3, 3], 1, [1, 1]),
];

fn main() {
    let threads = std::env::args().nth(1).and_then(|threads| threads.parse().ok()).unwrap_or(2_usize);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads");
    let (named, layer) = (std::env::args().nth(2), std::env::args().nth(3));
    let mut sets = InstructionSet::available().into_iter();
    let set = sets.find(|set| named.as_ref().is_none_or(|name| set.name() == name)).expect("the instruction set");
    println!("{threads} threads, {}", set.name());
    let wanted = |name: &str| layer.as_ref().is_none_or(|layer| layer == name);
    for (name, batch, [channels_in, side, channels_out], kernel, stride, padding) in
        LAYERS.iter().copied().filter(|it| wanted(it.0))
    {
        let convolution =
            Convolution { batch, channels_in, size: [side, side], channels_out, kernel, stride: [stride; 2], padding };
        let numbers = |count: usize| (0..count).map(|at| (at % 17) as f32 - 8.0).collect::<Vec<f32>>();
        let input = numbers(convolution.input_length());
        let kernels = numbers(convolution.kernel_length());
        let gradient = numbers(convolution.output_length());
        let operations = 2.0 * (convolution.output_length() * channels_in * kernel[0] * kernel[1]) as f64;
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
