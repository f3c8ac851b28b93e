//! A graph with its parameters, ready to run at any size.

use crate::plan::{Input, Packed, Plan, Settings};
use crate::{Error, Pool, reference};
use percept_graph::{Bindings, Graph, Params, ValueId, rewrite};
use std::collections::VecDeque;

/// Plans that are kept, the one used last in front; the one used longest ago goes first.
const PLANS: usize = 4;

/// A network that runs: constants and batch normalisation are folded once, plans are made for each binding of the graph's symbols
/// when it is first met, and share their packed weights.
pub struct Network {
    graph: Graph,
    params: Params,
    packed: Packed,
    plans: VecDeque<(Bindings, Plan)>,
    settings: Settings,
}

impl Network {
    /// Prepares a graph; an error if `params` does not fit it.
    pub fn new(graph: &Graph, params: &Params, settings: Settings) -> Result<Self, Error> {
        let (graph, params) = rewrite::fold_for_inference(graph, params)?;
        let (graph, params) = rewrite::fold_constants(&graph, &params, |op, inputs| {
            let inputs: Vec<_> = inputs.iter().map(|tensor| tensor.map(reference::Array::from_tensor)).collect();
            let inputs: Vec<_> = inputs.iter().map(Option::as_ref).collect();
            reference::eval(op, &inputs)?.iter().map(|array| array.to_tensor().map_err(|e| e.to_string())).collect()
        })?;
        Ok(Self { graph, params, packed: Packed::default(), plans: VecDeque::new(), settings })
    }

    /// The graph after folding: what plans are made from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The parameters of that graph.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The plan for these sizes, made now if it is new.
    pub fn plan(&mut self, bindings: &Bindings) -> Result<&mut Plan, Error> {
        let known = self.plans.iter().position(|(key, _)| key == bindings);
        let plan = match known.and_then(|i| self.plans.remove(i)) {
            Some((_, plan)) => plan,
            None => Plan::for_sizes(&self.graph, &self.params, bindings, &mut self.packed, &self.settings)?,
        };
        self.plans.push_front((bindings.clone(), plan));
        self.plans.truncate(PLANS);
        Ok(&mut self.plans[0].1)
    }

    /// Runs the network on inputs with these shapes and gives back the plan, which holds the outputs.
    pub fn run(&mut self, inputs: &[(&[usize], Input<'_>)]) -> Result<&Plan, Error> {
        self.run_as(inputs, Plan::run)
    }

    /// Lets the plan for inputs of these shapes run them in a way: [`Plan::run`], or a part of it.
    pub fn run_as(
        &mut self,
        inputs: &[(&[usize], Input<'_>)],
        way: impl FnOnce(&mut Plan, &[Input<'_>]) -> Result<(), Error>,
    ) -> Result<&Plan, Error> {
        let bindings = self.bindings(&inputs.iter().map(|(shape, _)| *shape).collect::<Vec<_>>())?;
        let data: Vec<_> = inputs.iter().map(|(_, data)| *data).collect();
        let plan = self.plan(&bindings)?;
        way(plan, &data)?;
        Ok(plan)
    }

    /// The plan that ran last, or was asked for.
    pub fn last(&self) -> Option<&Plan> {
        self.plans.front().map(|(_, plan)| plan)
    }

    /// The threads that run it.
    pub fn pool(&self) -> &Pool {
        &self.settings.pool
    }

    /// The values of the graph's symbols for inputs of these shapes; an error naming the input that does not fit.
    pub fn bindings(&self, shapes: &[&[usize]]) -> Result<Bindings, Error> {
        bindings(&self.graph, shapes)
    }
}

/// The values of a graph's symbols for inputs of these shapes; an error naming the input that does not fit.
pub(crate) fn bindings(graph: &Graph, shapes: &[&[usize]]) -> Result<Bindings, Error> {
    let mut bindings = Bindings::new();
    let wrong = |id: ValueId, shape: &[usize]| {
        let value = graph.value(id);
        Error::Input { name: value.name.clone(), reason: format!("the shape {shape:?} does not fit {}", value.ty) }
    };
    for (&id, shape) in graph.inputs().iter().zip(shapes) {
        let dims = &graph.value(id).ty.shape;
        if dims.len() != shape.len() {
            return Err(wrong(id, shape));
        }
        for (dim, &size) in dims.iter().zip(*shape) {
            if let Some(symbol) = dim.as_symbol() {
                bindings.entry(symbol.into()).or_insert(size);
            }
        }
    }
    for (&id, shape) in graph.inputs().iter().zip(shapes) {
        let dims = graph.value(id).ty.shape.iter();
        if !dims.zip(*shape).all(|(dim, &size)| dim.eval(&bindings) == Some(size)) {
            return Err(wrong(id, shape));
        }
    }
    Ok(bindings)
}
