//! Gradients of dense and grouped convolutions on every instruction set against their definition.

use super::tests::{meetings, windows};
use super::*;
use crate::kernels::tests::{cases, close, exact, values};
use crate::kernels::{Activation, Epilogue, Out, PackedB, Planar, planar};
use crate::simd::Isa;
use proptest::prelude::*;

/// Up to how many channels of input and output a group has.
const CHANNELS: [usize; 2] = if cfg!(miri) { [4, 6] } else { [12, 20] };

/// The filters packed by phases, from those of the test; none where that is not possible.
fn by_phases(isa: Isa, conv: &ConvShape, filters: &[f32]) -> Option<PhaseWeights> {
    let mut weights = PhaseWeights::zeroed(isa, conv)?;
    let (taps, inputs) = (conv.window.taps(), conv.inputs / conv.groups);
    let onnx = |i: usize| filters[(i / (inputs * taps) * taps + i % taps) * inputs + i / taps % inputs];
    let onnx: Vec<_> = (0..filters.len()).map(onnx).collect();
    weights.panels_mut().for_each(|mut panel| panel.fill(&onnx));
    Some(weights)
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn convolutions_of_planes_and_their_gradients_are_those_of_the_definition(w in windows(), inputs in 1usize..4, outputs in 1usize..9, cut in 0usize..99) {
        let w = Window { stride: [1, 1], dilation: [1, 1], output: [0, 1].map(|i| (w.input[i] + 2 * w.pad[i] + 1).saturating_sub(w.kernel[i])), ..w };
        let conv = Planar { window: w, inputs, outputs };
        let ([from, to], taps) = ([w.input, w.output].map(|side| side[0] * side[1]), w.taps());
        let (x, dy) = (values(w.batch * inputs * from, 1), values(w.batch * outputs * to, 2));
        let (weights, bias) = (values(outputs * inputs * taps, 3), values(outputs, 4));
        let mut y: Vec<_> = (0..dy.len()).map(|i| f64::from(bias[i / to.max(1) % outputs])).collect();
        let mut dw = vec![0.0; weights.len()];
        for picture in 0..w.batch {
            meetings(&w, |a, b, t| for (o, i) in (0..outputs).flat_map(|o| (0..inputs).map(move |i| (o, i))) {
                let (x, at, term) = (f64::from(x[(picture * inputs + i) * from + a]), (picture * outputs + o) * to + b, (o * inputs + i) * taps + t);
                y[at] += x * f64::from(weights[term]);
                dw[term] += x * f64::from(dy[at]);
            });
        }
        let cut = cut % (w.batch + 1);
        for isa in Isa::available() {
            let (mut scratch, mut got) = (vec![f32::NAN; conv.grad_scratch_len(isa)], vec![f32::NAN; y.len()]);
            let mut filters = vec![f32::NAN; inputs * taps * conv.columns()];
            conv.pack(&weights, &mut filters);
            let mut sums = vec![0.0; weights.len()];
            for pictures in [cut..w.batch, 0..cut] {
                // SAFETY: one call at a time.
                unsafe { planar(isa, &conv, &x, &filters, Some(&bias), Out::new(&mut got), pictures.clone(), &mut scratch) };
                let mut part = vec![f32::NAN; weights.len()];
                planar_weight_grad(isa, &conv, &x, &dy, pictures, &mut scratch, &mut part);
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            close(&got, &y, isa.name());
            close(&sums, &dw, isa.name());
        }
    }

    #[test]
    fn conv_gradients_are_those_of_the_definition(w in windows(), groups in 1usize..4, i in 1..CHANNELS[0], o in 1..CHANNELS[1], cut in 0usize..999) {
        let (inputs, outputs) = (i * groups, o * groups);
        let (from, to, taps) = (w.input[0] * w.input[1], w.output[0] * w.output[1], w.taps());
        let (x, dy) = (values(w.input_pixels() * inputs, 1), values(w.pixels() * outputs, 2));
        // Filters as the kernels take them: [output][tap][input of the group].
        let filters = values(outputs * taps * i, 3);
        let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; filters.len()]);
        for picture in 0..w.batch {
            meetings(&w, |a, b, t| for (out, ci) in (0..outputs).flat_map(|out| (0..i).map(move |ci| (out, ci))) {
                let at = (picture * from + a) * inputs + out / o * i + ci;
                let dy = f64::from(dy[(picture * to + b) * outputs + out]);
                dx[at] += dy * f64::from(filters[(out * taps + t) * i + ci]);
                dw[(out * taps + t) * i + ci] += dy * f64::from(x[at]);
            });
        }
        let conv = ConvShape { window: w, groups, inputs, outputs };
        let g = ConvGrad { conv, gradient: &dy };
        for isa in Isa::available() {
            let mut scratch = vec![f32::NAN; conv.scratch_len()];
            let weights: Vec<_> = filters.chunks(o * conv.patch()).map(|f| PackedB::pack(isa, o, conv.patch(), f, [conv.patch(), 1])).collect();
            let mut got = vec![f32::NAN; x.len()];
            let (biases, activation) = (values(inputs, 4), [Activation::None, Activation::Relu, Activation::Tanh][cut % 3]);
            let epilogue = Epilogue { bias: (cut % 2 == 0).then_some(&biases), residual: None, activation };
            let after = |(i, &dx): (usize, &f64)| {
                exact(activation, dx + epilogue.bias.map_or(0.0, |bias| f64::from(bias[i % inputs])))
            };
            let dx: Vec<_> = dx.iter().enumerate().map(after).collect();
            let picture = cut % (w.batch + 1);
            // SAFETY: one call at a time.
            unsafe {
                conv_input_grad(isa, &g, &weights, &epilogue, Out::new(&mut got), picture..w.batch, &mut scratch);
                conv_input_grad(isa, &g, &weights, &epilogue, Out::new(&mut got), 0..picture, &mut scratch);
            }
            close(&got, &dx, isa.name());
            if let Some(weights) = by_phases(isa, &conv, &filters) {
                let (mut scratch, mut got) = (vec![f32::NAN; weights.scratch_len(&conv)], vec![f32::NAN; x.len()]);
                for phase in conv.phases() {
                    let cut = cut % (phase.pixels() + 1);
                    for pixels in [cut..phase.pixels(), 0..cut] {
                        // SAFETY: one call at a time.
                        unsafe { conv_input_phase(&g, &weights, &phase, &epilogue, Out::new(&mut got), pixels, &mut scratch) }
                    }
                }
                close(&got, &dx, isa.name());
            }
            let row = cut % (w.rows() + 1);
            let first = cut % (o + 1);
            let mut sums = vec![0.0; filters.len()];
            for (rows, own) in [0..row, row..w.rows()].into_iter().flat_map(|rows| [(rows.clone(), 0..first), (rows, first..o)]) {
                let size = own.len() * conv.patch();
                let mut part = vec![f32::NAN; groups * size];
                conv_weight_grad(isa, &g, &x, rows, own.clone(), &mut scratch, &mut part);
                for (i, &sum) in part.iter().enumerate() {
                    sums[(i / size * o + own.start) * conv.patch() + i % size] += sum;
                }
            }
            close(&sums, &dw, isa.name());
        }
    }
}
