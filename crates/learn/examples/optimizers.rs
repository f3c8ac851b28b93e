//! Times a step of every optimiser on 10 million parameters, beside a step of AdamW in the same run: `optimizers [ROUNDS]`.

use percept_learn::Result;
use percept_learn::optim::{Group, Optimizer, State, clip_by_norm};
use std::time::Instant;

const PARAMETERS: usize = 10_000_000;

fn main() -> Result<()> {
    let rounds: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(15);
    let rmsprop = |momentum, centered| Optimizer::RmsProp { alpha: 0.99, epsilon: 1e-8, momentum, centered };
    let optimizers = [
        Optimizer::ADAMW,
        Optimizer::ADAM,
        Optimizer::Sgd { momentum: 0.9, nesterov: false },
        rmsprop(0.0, false),
        rmsprop(0.9, true),
        Optimizer::ADAGRAD,
    ];
    let groups = [Group { range: 0..PARAMETERS, rate: 1.0, weight_decay: 0.01 }];
    let mut gradients: Vec<f32> = (0..PARAMETERS).map(|i| (i % 1009) as f32 / 504.0 - 1.0).collect();
    let mut parameters = gradients.clone();
    let mut states: Vec<State> = optimizers.iter().map(|optimizer| State::new(optimizer, PARAMETERS)).collect();
    let mut times = vec![Vec::new(); optimizers.len() + 1];
    for _ in 0..rounds {
        for ((optimizer, state), times) in optimizers.iter().zip(&mut states).zip(&mut times) {
            let start = Instant::now();
            optimizer.step(state, &groups, 1e-4, &mut parameters, &gradients)?;
            times.push(start.elapsed().as_secs_f64());
        }
        let start = Instant::now();
        clip_by_norm(&mut gradients, 1e9);
        times[optimizers.len()].push(start.elapsed().as_secs_f64());
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let medians: Vec<f64> = times.iter_mut().map(median).collect();
    let names = optimizers.iter().map(|optimizer| format!("{optimizer:?}")).chain(["norm of the gradients".into()]);
    for (name, time) in names.zip(&medians) {
        println!("{:6.2} ms, {:.2} of AdamW: {name}", 1e3 * time, time / medians[0]);
    }
    Ok(())
}
