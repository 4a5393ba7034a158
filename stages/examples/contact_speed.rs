use athanor_stages::images::synthetic::{Scene, render};
use std::io::Write;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    if a.len() > 1 {
        let side: usize = a[2].parse().unwrap();
        let n: u64 = a[3].parse().unwrap();
        let mut f = std::io::BufWriter::new(std::fs::File::create(&a[1]).unwrap());
        for class in 0..28usize {
            for k in 0..n {
                let s = class as u64 * 100_000 + k;
                for p in render(&Scene { classes: vec![class], side, seed: s, antibody: s + 7, exposure: s }) {
                    f.write_all(&p).unwrap();
                }
            }
        }
        return;
    }
    for side in [64usize, 128, 512] {
        let n = if side < 200 { 140 } else { 28 };
        let t = std::time::Instant::now();
        let mut sum = 0u64;
        for k in 0..n as u64 {
            let s = Scene {
                classes: vec![k as usize % 28, (k as usize * 7 + 3) % 28],
                side,
                seed: k,
                antibody: k,
                exposure: k,
            };
            sum += render(&s)[1].iter().map(|v| *v as u64).sum::<u64>();
        }
        println!("{side}: {:.2} ms, {sum}", t.elapsed().as_secs_f64() * 1e3 / n as f64);
    }
}
