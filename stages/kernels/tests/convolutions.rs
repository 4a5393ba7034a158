//! Convolutions and their gradients against sums in float64 that are written down as they are defined.

mod support;

use athanor_kernels::InstructionSet;
use athanor_kernels::conv::{Convolution, Epilogue, forward, input_gradient, kernel_gradient};
use proptest::prelude::*;
use support::{near, numbers};

/// Calls `visit` with the places in input, kernels and output of every product of a convolution.
fn products(convolution: &Convolution, mut visit: impl FnMut(usize, usize, usize)) {
    let Convolution { batch, channels_in, size, channels_out, kernel, stride, padding } = *convolution;
    let [rows, columns] = convolution.size_out();
    for (image, out, row, column) in (0..batch)
        .flat_map(|image| (0..channels_out).map(move |out| (image, out)))
        .flat_map(|(image, out)| (0..rows).map(move |row| (image, out, row)))
        .flat_map(|(image, out, row)| (0..columns).map(move |column| (image, out, row, column)))
    {
        for channel in 0..channels_in {
            for (down, right) in (0..kernel[0]).flat_map(|down| (0..kernel[1]).map(move |right| (down, right))) {
                let y = (row * stride[0] + down).checked_sub(padding[0]).filter(|y| *y < size[0]);
                let x = (column * stride[1] + right).checked_sub(padding[1]).filter(|x| *x < size[1]);
                let (Some(y), Some(x)) = (y, x) else { continue };
                visit(
                    ((image * channels_in + channel) * size[0] + y) * size[1] + x,
                    ((out * channels_in + channel) * kernel[0] + down) * kernel[1] + right,
                    ((image * channels_out + out) * rows + row) * columns + column,
                );
            }
        }
    }
}

/// Compares with every instruction set that this processor has.
fn compare(convolution: &Convolution) {
    InstructionSet::available().into_iter().for_each(|set| compare_with(set, convolution));
}

fn compare_with(set: InstructionSet, convolution: &Convolution) {
    let input = numbers(1, convolution.input_length());
    let kernels = numbers(2, convolution.kernel_length());
    let gradient = numbers(3, convolution.output_length());
    let [mut output, mut of_input, mut of_kernels] =
        [gradient.len(), input.len(), kernels.len()].map(|length| vec![0.0_f64; length]);
    products(convolution, |i, k, o| {
        output[o] += f64::from(input[i]) * f64::from(kernels[k]);
        of_input[i] += f64::from(gradient[o]) * f64::from(kernels[k]);
        of_kernels[k] += f64::from(gradient[o]) * f64::from(input[i]);
    });
    near(&forward(set, convolution, &input, &kernels, None), &output, 1e-5, "output");
    near(&input_gradient(set, convolution, &gradient, &kernels), &of_input, 1e-5, "input's gradient");
    near(&kernel_gradient(set, convolution, &input, &gradient), &of_kernels, 1e-5, "kernels' gradient");

    let [scale, shift] = [6, 4].map(|seed| numbers(seed, convolution.channels_out));
    let summand = numbers(5, convolution.output_length());
    let area: usize = convolution.size_out().iter().product();
    for (at, sum) in output.iter_mut().enumerate() {
        let channel = at / area % convolution.channels_out;
        *sum = *sum * f64::from(scale[channel]) + f64::from(shift[channel]) + f64::from(summand[at]);
        *sum = sum.max(0.0);
    }
    let epilogue = Epilogue { scale: &scale, shift: &shift, summand: Some(&summand), relu: true };
    near(&forward(set, convolution, &input, &kernels, Some(&epilogue)), &output, 1e-5, "finished output");
}

prop_compose! {
    fn convolutions()(
        batch in 1_usize..4, channels_in in 1_usize..40, height in 1_usize..24, width in 1_usize..60,
        channels_out in 1_usize..20, kernel in [1_usize..6, 1_usize..6], stride in [1_usize..4, 1_usize..4],
        padding in [0_usize..4, 0_usize..4],
    ) -> Convolution {
        // The kernel fits into the padded image.
        let kernel = [kernel[0].min(height + 2 * padding[0]), kernel[1].min(width + 2 * padding[1])];
        Convolution { batch, channels_in, size: [height, width], channels_out, kernel, stride, padding }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_convolution_is_as_it_is_defined(convolution in convolutions()) {
        compare(&convolution);
    }
}

#[test]
fn convolutions_of_several_blocks_are_as_they_are_defined() {
    // More channels than are packed at once, more pixels than are summed up at once.
    let deep = Convolution {
        batch: 2,
        channels_in: 70,
        size: [9, 9],
        channels_out: 33,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
    };
    let wide = Convolution { batch: 3, channels_in: 5, size: [40, 41], kernel: [1, 7], padding: [0, 3], ..deep };
    let pointwise = Convolution { channels_in: 600, kernel: [1, 1], padding: [0, 0], ..deep };
    let stem = Convolution { channels_in: 4, size: [33, 30], kernel: [7, 7], stride: [2, 2], padding: [3, 3], ..deep };
    [deep, wide, pointwise, stem].iter().for_each(compare);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let convolution = Convolution {
        batch: 3,
        channels_in: 37,
        size: [21, 19],
        channels_out: 24,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
    };
    let input = numbers(1, convolution.input_length());
    let kernels = numbers(2, convolution.kernel_length());
    let gradient = numbers(3, convolution.output_length());
    let all = |set: InstructionSet, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            [
                forward(set, &convolution, &input, &kernels, None),
                input_gradient(set, &convolution, &gradient, &kernels),
                kernel_gradient(set, &convolution, &input, &gradient),
            ]
        })
    };
    for set in InstructionSet::available() {
        let one = all(set, 1);
        for threads in [2, 3, 8] {
            assert_eq!(all(set, threads), one);
        }
    }
}
