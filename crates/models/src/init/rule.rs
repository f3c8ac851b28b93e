//! How a parameter can begin.

use super::draw::{key, normal, uniform};

/// How the elements of a parameter begin.
///
/// For a weight `[to, from, taps…]`, as convolutions and PyTorch's linear layers have it, `fan_in` is `from · taps` and `fan_out`
/// `to · taps`; with fewer than two dimensions both are the number of elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All with this value.
    Constant(f32),
    /// Uniform within so much of 0.
    Uniform(f64),
    /// Normal around 0 with this standard deviation.
    Normal(f64),
    /// Uniform with variance `2 / (fan_in + fan_out)`, for tanh and sigmoid (Glorot and Bengio, "Understanding the difficulty of training
    /// deep feedforward neural networks", AISTATS 2010).
    XavierUniform,
    /// The same, normal.
    XavierNormal,
    /// Uniform with variance `2 / fan`, for ReLU (He et al., "Delving Deep into Rectifiers", ICCV 2015).
    KaimingUniform(Fan),
    /// The same, normal.
    KaimingNormal(Fan),
    /// Rows, or columns where there are fewer, that are orthogonal to each other and as long as this (Saxe et al., "Exact solutions to the
    /// nonlinear dynamics of learning in deep linear neural networks", ICLR 2014); what follows the first dimension counts as one.
    Orthogonal(f64),
    /// Filters that pass on the channel of their number; where there are more of them than channels, the others are uniform within
    /// `1 / sqrt(fan_in)`. Taps have an odd number along each axis, or pass on the one behind the middle.
    Dirac,
    /// 0, but 1 for the forget gates of an LSTM, which so begins with remembering (Jozefowicz et al., "An Empirical Exploration of Recurrent
    /// Network Architectures", ICML 2015). For ONNX's biases `[directions, 8 · hidden]`, of input, output, forget gate and cell,
    /// twice; the second half stays 0.
    LstmBias,
}

/// Which of the two numbers a variance keeps even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// What a value is computed from: on the way forward.
    In,
    /// What a value goes to: on the way back.
    Out,
}

impl Init {
    /// The elements of a parameter of this name and shape: the same for the same seed, on every machine.
    ///
    /// ```
    /// use percept_models::init::Init;
    ///
    /// let rotation = Init::Orthogonal(1.0).draw(7, "rnn.recurrent", &[2, 2]);
    /// assert!((rotation[0] * rotation[2] + rotation[1] * rotation[3]).abs() < 1e-6);
    /// assert!((rotation[0].hypot(rotation[1]) - 1.0).abs() < 1e-6);
    /// ```
    pub fn draw(self, seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
        self.values(key(seed, name), shape, fans(shape))
    }

    pub(super) fn values(self, key: u64, shape: &[usize], [fan_in, fan_out]: [usize; 2]) -> Vec<f32> {
        let all = 0..shape.iter().product::<usize>() as u64;
        let fan = |fan| if fan == Fan::In { fan_in } else { fan_out } as f64;
        let of_deviation = |deviation: f64| all.clone().map(|i| (deviation * normal(key, i)) as f32).collect();
        let within = |bound: f64| all.clone().map(|i| (bound * (2.0 * uniform(key, i) - 1.0)) as f32).collect();
        match self {
            Self::Constant(value) => all.map(|_| value).collect(),
            Self::Uniform(bound) => within(bound),
            Self::Normal(deviation) => of_deviation(deviation),
            Self::XavierUniform => within((6.0 / (fan_in + fan_out) as f64).sqrt()),
            Self::XavierNormal => of_deviation((2.0 / (fan_in + fan_out) as f64).sqrt()),
            Self::KaimingUniform(side) => within((6.0 / fan(side)).sqrt()),
            Self::KaimingNormal(side) => of_deviation((2.0 / fan(side)).sqrt()),
            Self::Orthogonal(length) => orthogonal(key, shape, length),
            Self::Dirac => dirac(key, shape, fan_in),
            Self::LstmBias => {
                let gates = shape.last().copied().unwrap_or(0).max(1);
                all.map(|i| f32::from((2 * gates / 8..3 * gates / 8).contains(&(i as usize % gates)))).collect()
            }
        }
    }
}

/// From how many values a parameter of this shape computes one, and to how many a value goes.
pub(super) fn fans(shape: &[usize]) -> [usize; 2] {
    match shape {
        [to, from, taps @ ..] => [from, to].map(|side| side * taps.iter().product::<usize>()),
        other => [other.iter().product(); 2],
    }
}

fn dirac(key: u64, shape: &[usize], fan_in: usize) -> Vec<f32> {
    let mut values = Init::Uniform(1.0 / (fan_in as f64).sqrt()).values(key, shape, [fan_in; 2]);
    let (from, taps) = (shape.get(1).copied().unwrap_or(1), shape.get(2..).unwrap_or_default());
    let middle = taps.iter().fold(0, |at, &size| at * size + size / 2);
    let taps: usize = taps.iter().product();
    for (i, filter) in values.chunks_exact_mut((from * taps).max(1)).take(from).enumerate() {
        filter.fill(0.0);
        filter[i * taps + middle] = 1.0;
    }
    values
}

/// Normal vectors made orthogonal by Gram and Schmidt's method, in its modified form and twice, which leaves only rounding errors of the
/// last digit (Giraud, Langou and Rozložník, "The loss of orthogonality in the Gram-Schmidt orthogonalization process", 2005).
fn orthogonal(key: u64, shape: &[usize], length: f64) -> Vec<f32> {
    let rows = shape.first().copied().unwrap_or(1);
    let columns: usize = shape.iter().skip(1).product();
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    for i in 0..count {
        let mut vector: Vec<f64> = (0..len).map(|k| normal(key, (i * len + k) as u64)).collect();
        for other in vectors.iter().chain(&vectors) {
            let product: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            vector.iter_mut().zip(other).for_each(|(a, b)| *a -= product * b);
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|a| *a /= norm);
        vectors.push(vector);
    }
    let element = |row: usize, column: usize| if rows <= columns { vectors[row][column] } else { vectors[column][row] };
    let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    all.map(|(row, column)| (length * element(row, column)) as f32).collect()
}
