use athanor_stages::images::synthetic::{Scene, render};
fn main() {
    for side in [64usize, 128, 512] {
        let n = if side < 200 { 140 } else { 28 };
        let t = std::time::Instant::now();
        let mut sum = 0u64;
        for k in 0..n as u64 {
            let s = Scene { classes: vec![k as usize % 28, (k as usize * 7 + 3) % 28], side, seed: k, antibody: k, exposure: k };
            sum += render(&s)[1].iter().map(|v| *v as u64).sum::<u64>();
        }
        println!("{side}: {:.2} ms, {sum}", t.elapsed().as_secs_f64() * 1e3 / n as f64);
    }
}
