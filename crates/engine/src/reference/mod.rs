//! The reference: every operator in plain loops and f64, in ONNX's own layout, written to be obviously right.
//!
//! It is what the fast kernels are tested against, what folds constants, and what gradients will be checked with: in f64,
//! finite differences mean something.

pub(crate) mod arithmetic;
mod layout;
mod linear;
mod loss;
mod normalization;
mod recurrent;
mod training;
mod window;
mod window_grad;

use crate::Error;
use crate::network::bindings;
use percept_graph::{DType, Graph, Op, Params, Source, Tensor, TensorData, TensorType};

/// More elements than this are refused.
const MAX_ELEMENTS: usize = 1 << 31;

/// Numbers in row-major order.
///
/// All types are held as f64: results of f32 operators are not rounded to f32, and integers are exact up to 2⁵³.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The element type that the numbers stand for.
    pub dtype: DType,
    /// The size of each axis.
    pub shape: Vec<usize>,
    /// The numbers.
    pub data: Vec<f64>,
}

impl Array {
    /// The numbers of a tensor.
    pub fn from_tensor(tensor: &Tensor) -> Self {
        let data = match tensor.data() {
            TensorData::F32(data) => data.iter().map(|&x| x.into()).collect(),
            TensorData::F64(data) => data.clone(),
            TensorData::I64(data) => data.iter().map(|&x| x as f64).collect(),
            TensorData::I32(data) => data.iter().map(|&x| x.into()).collect(),
            TensorData::I8(data) => data.iter().map(|&x| x.into()).collect(),
            TensorData::U8(data) => data.iter().map(|&x| x.into()).collect(),
            TensorData::Bool(data) => data.iter().map(|&x| f64::from(u8::from(x))).collect(),
        };
        Self { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), data }
    }

    /// A tensor of the array's type; an error if the numbers do not fill the shape.
    pub fn to_tensor(&self) -> Result<Tensor, percept_graph::Error> {
        let data = &self.data;
        let data = match self.dtype {
            DType::F32 => TensorData::F32(data.iter().map(|&x| x as f32).collect()),
            DType::F64 => TensorData::F64(data.clone()),
            DType::I64 => TensorData::I64(data.iter().map(|&x| x as i64).collect()),
            DType::I32 => TensorData::I32(data.iter().map(|&x| x as i32).collect()),
            DType::I8 => TensorData::I8(data.iter().map(|&x| x as i8).collect()),
            DType::U8 => TensorData::U8(data.iter().map(|&x| x as u8).collect()),
            DType::Bool => TensorData::Bool(data.iter().map(|&x| x != 0.0).collect()),
        };
        Tensor::new(self.shape.clone(), data)
    }

    fn like(ty: &TensorType, data: Vec<f64>) -> Result<Self, String> {
        Ok(Self { dtype: ty.dtype, shape: ty.concrete().map_err(|e| e.to_string())?, data })
    }

    fn zeros(ty: &TensorType) -> Result<Self, String> {
        from_fn(ty, |_| 0.0)
    }

    fn ty(&self) -> TensorType {
        TensorType::new(self.dtype, self.shape.iter().map(|&size| size.into()))
    }

    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { data: self.data.iter().map(|&x| f(x)).collect(), ..self.clone() }
    }
}

/// The position along each axis of the `i`th entry of `shape`.
fn position(shape: &[usize], mut i: usize) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        position[axis] = i % shape[axis];
        i /= shape[axis];
    }
    position
}

/// The place in row-major order of a position in `shape`.
fn index(shape: &[usize], position: &[usize]) -> usize {
    shape.iter().zip(position).fold(0, |index, (size, at)| index * size + at)
}

/// The place in row-major order of the entry of `shape` that numpy's broadcasting shows at a position of a result.
fn shown(shape: &[usize], position: &[usize]) -> usize {
    let own = &position[position.len() - shape.len()..];
    shape.iter().zip(own).fold(0, |index, (&size, &at)| index * size + if size == 1 { 0 } else { at })
}

/// What broadcasting from `shape` hands back: for each of its entries, the sum of those of `x` that show it.
fn sum_to(shape: &[usize], x: &Array) -> Vec<f64> {
    let mut sums = vec![0.0; shape.iter().product()];
    for (i, value) in x.data.iter().enumerate() {
        sums[shown(shape, &position(&x.shape, i))] += value;
    }
    sums
}

/// For each entry of `shape`, which broadcasts to that of `x`, the place of the first greatest entry that shows it, and that entry.
fn largest(shape: &[usize], x: &Array) -> (Vec<usize>, Vec<f64>) {
    let count = shape.iter().product();
    let (mut places, mut values) = (vec![0; count], vec![f64::NEG_INFINITY; count]);
    for (i, &value) in x.data.iter().enumerate() {
        let to = shown(shape, &position(&x.shape, i));
        if value > values[to] {
            (places[to], values[to]) = (i, value);
        }
    }
    (places, values)
}

/// A shape whose `axes` have one entry each.
fn reduced(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| if axes.contains(&axis) { 1 } else { shape[axis] }).collect()
}

fn elements(shape: &[usize]) -> Result<usize, String> {
    let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    product.filter(|&n| n <= MAX_ELEMENTS).ok_or_else(|| format!("a result of shape {shape:?} is too large"))
}

/// The result with the given shape whose entry at each position is `f(position)`.
fn from_fn(ty: &TensorType, mut f: impl FnMut(&[usize]) -> f64) -> Result<Array, String> {
    let shape = ty.concrete().map_err(|e| e.to_string())?;
    let data = (0..elements(&shape)?).map(|i| f(&position(&shape, i))).collect();
    Ok(Array { dtype: ty.dtype, shape, data })
}

/// Computes one operator; an error says what does not fit.
///
/// ```
/// use percept_engine::reference::{Array, eval};
/// use percept_graph::{DType, ops::Relu};
///
/// let x = Array { dtype: DType::F32, shape: vec![2], data: vec![-1.0, 2.0] };
/// assert_eq!(eval(&Relu {}.into(), &[Some(&x)])?[0].data, [0.0, 2.0]);
/// # Ok::<(), String>(())
/// ```
pub fn eval(op: &Op, inputs: &[Option<&Array>]) -> Result<Vec<Array>, String> {
    let types: Vec<_> = inputs.iter().map(|input| input.map(Array::ty)).collect();
    let outputs = op.infer(&types.iter().map(Option::as_ref).collect::<Vec<_>>())?;
    for ty in &outputs {
        elements(&ty.concrete().map_err(|e| e.to_string())?)?;
    }
    let ty = &outputs[0];
    let given: Vec<&Array> = inputs.iter().copied().flatten().collect();
    if let Op::Constant(op) = op {
        return Ok(vec![Array::from_tensor(&op.value)]);
    }
    let x = *given.first().ok_or("has no input")?;
    let one = match op {
        Op::Add(_) => arithmetic::binary(ty, &given, |a, b| a + b),
        Op::Sub(_) => arithmetic::binary(ty, &given, |a, b| a - b),
        Op::Mul(_) => arithmetic::binary(ty, &given, |a, b| a * b),
        Op::Div(_) => arithmetic::divide(ty, &given),
        Op::Max(_) => arithmetic::binary(ty, &given, f64::max),
        Op::Min(_) => arithmetic::binary(ty, &given, f64::min),
        Op::Exp(_) => Ok(x.map(f64::exp)),
        Op::Log(_) => Ok(x.map(f64::ln)),
        Op::Sqrt(_) => Ok(x.map(f64::sqrt)),
        Op::Abs(_) => Ok(x.map(f64::abs)),
        Op::Neg(_) => Ok(x.map(|x| -x)),
        Op::Softplus(_) => Ok(x.map(|x| x.max(0.0) + (-x.abs()).exp().ln_1p())),
        Op::Erf(_) => Ok(x.map(arithmetic::erf)),
        Op::Gelu(_) => Ok(x.map(|x| x * arithmetic::normal(x))),
        Op::Pow(op) => Ok(x.map(|x| x.powf(op.exponent.into()))),
        Op::Relu(_) => Ok(x.map(|x| x.max(0.0))),
        Op::LeakyRelu(op) => Ok(x.map(|x| if x < 0.0 { x * f64::from(op.alpha) } else { x })),
        Op::Clip(op) => Ok(x.map(|x| x.max(op.min.into()).min(op.max.into()))),
        Op::Sigmoid(_) => Ok(x.map(|x| 1.0 / (1.0 + (-x).exp()))),
        Op::HardSigmoid(op) => Ok(x.map(|x| (f64::from(op.alpha) * x + f64::from(op.beta)).clamp(0.0, 1.0))),
        Op::HardSwish(_) => Ok(x.map(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0))),
        Op::Tanh(_) => Ok(x.map(f64::tanh)),
        Op::Softmax(op) => normalization::softmax(x, op.axis),
        Op::Conv(op) => window::conv(ty, &given, op),
        Op::ConvTranspose(op) => window_grad::conv_transpose(ty, &given, op),
        Op::MaxPool(op) => window::max_pool(ty, x, op),
        Op::AveragePool(op) => window::average_pool(ty, x, op),
        Op::GlobalAveragePool(_) => normalization::mean(ty, x, &(2..x.shape.len()).collect::<Vec<_>>()),
        Op::ReduceMean(op) => normalization::mean(ty, x, &op.axes(x.shape.len())),
        Op::ReduceSum(op) => Array::like(ty, sum_to(&reduced(&x.shape, &op.axes(x.shape.len())), x)),
        Op::ReduceMax(op) => Array::like(ty, largest(&reduced(&x.shape, &op.axes(x.shape.len())), x).1),
        Op::ReduceMaxGrad(op) => training::reduce_max_grad(&given, &op.axes),
        Op::ExpandLike(_) => from_fn(ty, |at| arithmetic::broadcast(x, at)),
        Op::BatchNormalization(op) => return normalization::batch_norm(&given, op),
        Op::LayerNormalization(op) => return Ok(vec![normalization::layer_norm(&given, op)]),
        Op::LayerNormGrad(op) => return normalization::layer_norm_grad(&given, &op.of),
        Op::BatchNormGrad(op) => return normalization::batch_norm_grad(&given, &op.of),
        Op::Loss(op) => return loss::loss(inputs, op),
        Op::ActivationGrad(op) => training::activation_grad(&given, &op.of),
        Op::SoftmaxGrad(op) => training::softmax_grad(&given, op.axis),
        Op::ConvInputGrad(op) => window_grad::conv_input(ty, &given, &op.of),
        Op::ConvWeightGrad(op) => window_grad::conv_weight(ty, &given, &op.of),
        Op::MaxPoolGrad(op) => window_grad::max_pool(ty, &given, &op.of),
        Op::AveragePoolGrad(op) => window_grad::average_pool(ty, x, &op.of),
        Op::MeanGrad(op) => training::mean_grad(ty, x, &op.axes),
        Op::SumTo(_) => Array::like(ty, sum_to(&ty.concrete().map_err(|e| e.to_string())?, x)),
        Op::ReshapeLike(_) => Array::like(ty, x.data.clone()),
        Op::PadGrad(op) => layout::pad_grad(ty, x, &op.of),
        Op::ConcatGrad(op) => layout::concat_grad(ty, &given, op),
        Op::Rnn(_) | Op::Gru(_) | Op::Lstm(_) => return recurrent::forward(&outputs, op, inputs),
        Op::RecurrentGrad(op) => return recurrent::gradients(&outputs, &op.of, inputs),
        Op::MatMul(_) => linear::matmul(ty, &given),
        Op::Gemm(op) => linear::gemm(ty, &given, op),
        Op::Flatten(_) | Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => Array::like(ty, x.data.clone()),
        Op::DropoutTraining(op) => Ok(training::dropout(&given, op)),
        Op::Identity(_) | Op::Dropout(_) => Ok(x.clone()),
        Op::Transpose(op) => layout::transpose(ty, x, op),
        Op::Concat(op) => layout::concat(ty, &given, op),
        Op::Gather(op) => layout::gather(ty, &given, op),
        Op::GatherGrad(op) => layout::gather_grad(ty, &given, &op.of),
        Op::Slice(op) => layout::slice(ty, x, op),
        Op::SliceGrad(op) => layout::slice_grad(ty, x, &op.of),
        Op::Resize(op) => layout::resize(ty, x, op),
        Op::ResizeGrad(op) => layout::resize_grad(ty, x, &op.of),
        Op::Pad(op) => layout::pad(ty, x, op),
        Op::Cast(op) => Ok(layout::cast(x, op.to)),
        Op::Constant(_) => Err("has no input".into()),
    }?;
    Ok(vec![one])
}

/// Runs a whole graph; an error names the input, parameter or node at fault.
pub fn run(graph: &Graph, params: &Params, inputs: &[Array]) -> Result<Vec<Array>, Error> {
    run_watched(graph, params, inputs, |_| ())
}

/// Runs a whole graph as [`run`] does, and says after each node how many are done.
pub fn run_watched(
    graph: &Graph,
    params: &Params,
    inputs: &[Array],
    mut progress: impl FnMut(usize),
) -> Result<Vec<Array>, Error> {
    if inputs.len() != graph.inputs().len() {
        let reason = format!("{} inputs are given, {} are needed", inputs.len(), graph.inputs().len());
        return Err(Error::Input { name: graph.name.clone(), reason });
    }
    graph.check_params(params)?;
    let shapes: Vec<_> = inputs.iter().map(|input| input.shape.as_slice()).collect();
    bindings(graph, &shapes)?;
    let mut values: Vec<Option<Array>> = vec![None; graph.values().len()];
    for (&id, input) in graph.inputs().iter().zip(inputs) {
        values[id.index()] = Some(input.clone());
    }
    for (slot, value) in values.iter_mut().zip(graph.values()) {
        if value.source == Source::Parameter {
            *slot = params.get(&value.name).map(Array::from_tensor);
        }
    }
    let mut left = graph.uses();
    for (i, node) in graph.nodes().iter().enumerate() {
        let given: Vec<_> = node.inputs.iter().map(|id| id.and_then(|id| values[id.index()].as_ref())).collect();
        let outputs = eval(&node.op, &given);
        let wrong = |reason| Error::Node { node: node.name.clone(), op: node.op.name(), reason };
        for (id, output) in node.outputs.iter().zip(outputs.map_err(wrong)?) {
            values[id.index()] = Some(output);
        }
        for id in node.inputs.iter().flatten() {
            left[id.index()] -= 1;
            if left[id.index()] == 0 {
                values[id.index()] = None;
            }
        }
        progress(i + 1);
    }
    let output = |id: &percept_graph::ValueId| {
        let missing = || percept_graph::Error::NoSuchValue { graph: graph.name.clone(), name: "output".into() };
        values[id.index()].clone().ok_or_else(|| missing().into())
    };
    graph.outputs().iter().map(output).collect()
}
