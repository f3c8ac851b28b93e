use super::*;
use percept_engine::{Input, Settings};
use percept_graph::{Builder, DType, Graph, Params, Tensor, TensorType};

#[test]
fn a_network_needs_a_loss_for_each_output() {
    let mut graph = Graph::new("net");
    let x = graph.add_input("x", TensorType::new(DType::F32, [1.into(), 2.into()])).unwrap();
    graph.set_outputs([x, x]);
    let made = with_losses(&graph, &[Loss::CrossEntropy]);
    assert!(made.err().unwrap().to_string().contains("one output"));
}

/// Three classes and a number from one hidden layer, for a batch of four of which some answers are missing.
struct Questions {
    weights: Weights,
    step: Step,
    pictures: Vec<f32>,
    lists: Vec<Vec<f32>>,
}

impl Questions {
    fn new() -> Self {
        let net = Builder::new("questions");
        let hidden = net.input("x", DType::F32, ["N".into(), 3.into()]).linear("hidden", 4).tanh();
        let outputs = [("class", hidden.linear("class", 3)), ("number", hidden.linear("number", 1))];
        let graph = net.finish(&outputs).unwrap();
        let numbers = |count: usize, seed: usize| {
            (0..count).map(|i| ((i * 37 + seed * 11) % 19) as f32 / 9.5 - 1.0).collect::<Vec<_>>()
        };
        let params = graph.parameters().enumerate().map(|(seed, value)| {
            let shape = value.ty.concrete().unwrap();
            (value.name.clone(), Tensor::f32(shape.clone(), numbers(shape.iter().product(), seed)).unwrap())
        });
        let params: Params = params.collect();
        let graph = with_losses(&graph, &[Loss::CrossEntropy, Loss::SquaredError]).unwrap();
        let weights = Weights::new(&[&graph], &params, BatchNorm::Frozen, |_| true).unwrap();
        let step = Step::new(&graph, &weights, |_| true, Settings::detect().unwrap()).unwrap();
        let classes = vec![2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 1.8, 0.0, 0.0, 0.0];
        let lists = vec![classes, vec![0.5, -1.0, 9.0, 0.3], vec![1.5, 1.0, 0.0, 1.5]];
        Self { weights, step, pictures: numbers(12, 5), lists }
    }

    fn loss(&mut self) -> f32 {
        self.step.run_batch(&mut self.weights, &[4, 3], Input::F32(&self.pictures), &self.lists).unwrap()
    }
}

#[test]
fn gradients_of_several_losses_agree_with_finite_differences() {
    let mut questions = Questions::new();
    questions.loss();
    let gradients = questions.weights.gradients.clone();
    assert!(gradients.iter().any(|x| x.abs() > 0.1));
    for (i, gradient) in gradients.into_iter().enumerate() {
        const STEP: f32 = 1e-2;
        let x = questions.weights.parameters[i];
        let mut at = |x| {
            questions.weights.parameters[i] = x;
            questions.loss()
        };
        let expected = (at(x + STEP) - at(x - STEP)) / (2.0 * STEP);
        at(x);
        assert!((gradient - expected).abs() < 1e-3, "parameter {i}: {gradient}, not {expected}");
    }
}

#[test]
fn a_missing_answer_has_no_part_in_the_loss() {
    let mut questions = Questions::new();
    let loss = questions.loss();
    // The number of the third picture weighs nothing.
    questions.lists[1][2] = -40.0;
    assert_eq!(questions.loss(), loss);
    questions.lists[1][1] = -2.0;
    assert_ne!(questions.loss(), loss);
    let wrong = questions.step.run_batch(
        &mut questions.weights,
        &[4, 3],
        Input::F32(&questions.pictures),
        &questions.lists[..2],
    );
    assert!(wrong.unwrap_err().to_string().contains("inputs"));
}

#[test]
fn dropout_is_drawn_from_the_seed_and_its_gradient_from_the_same() {
    let net = Builder::new("dropout");
    let x = net.input("x", DType::F32, ["N".into(), 40.into()]);
    let y = x.dropout(0.5).linear("fc", 1);
    let graph = with_losses(&net.finish(&[("y", y)]).unwrap(), &[Loss::SquaredError]).unwrap();
    let weight = Tensor::f32([1, 40], vec![0.0; 40]).unwrap();
    let params = Params::from([("fc.weight".into(), weight), ("fc.bias".into(), Tensor::f32([1], vec![1.0]).unwrap())]);
    let mut weights = Weights::new(&[&graph], &params, BatchNorm::Frozen, |_| true).unwrap();
    let mut step = Step::new(&graph, &weights, |_| true, Settings::detect().unwrap()).unwrap();
    let ones = [1.0; 40];
    let mut gradients = |seed: i64| {
        step.seed = seed;
        let batch: [(&[usize], _); 3] =
            [(&[1, 40], Input::F32(&ones)), (&[1, 1], Input::F32(&[0.0])), (&[1, 1], Input::F32(&[1.0]))];
        step.run(&mut weights, &batch).unwrap();
        weights.gradients[..40].to_vec()
    };
    let first = gradients(1);
    // With the result 1 and the target 0, the gradient of a weight is what was left of its input.
    assert!(first.iter().all(|&g| g == 0.0 || (g - 2.0).abs() < 1e-6), "{first:?}");
    assert!((5..35).contains(&first.iter().filter(|&&g| g == 0.0).count()));
    assert_ne!(first, gradients(2));
    assert_eq!(first, gradients(1));
}

#[test]
fn weights_of_another_network_are_refused() {
    let mut questions = Questions::new();
    let net = Builder::new("other");
    let y = net.input("x", DType::F32, ["N".into(), 3.into()]).linear("other", 1);
    let other = with_losses(&net.finish(&[("y", y)]).unwrap(), &[Loss::SquaredError]).unwrap();
    let made = Step::new(&other, &questions.weights, |_| true, Settings::detect().unwrap());
    assert!(made.err().unwrap().to_string().contains("made without \"other.weight\""));
    questions.weights.parameters.pop();
    let run =
        questions.step.run_batch(&mut questions.weights, &[4, 3], Input::F32(&questions.pictures), &questions.lists);
    assert!(run.unwrap_err().to_string().contains("parameters"));
}

/// Drawn by one layer and judged by another, whose weight moves between the halves of a run: as if it had moved before.
#[test]
fn a_run_that_stops_takes_later_weights_as_they_are_then() {
    let net = Builder::new("halves");
    let x = net.input("x", DType::F32, ["N".into(), 2.into(), 4.into(), 4.into()]);
    let drawn = x.conv("draw", 5, 3, |c| c.padding(1)).tanh();
    let verdict =
        drawn.conv("judge", 3, 3, |c| c).apply(percept_graph::ops::ReduceMean { axes: None, keepdims: false }, &[]);
    let graph = net.finish(&[("loss", verdict), ("drawn", drawn)]).unwrap();
    let params = graph.parameters().map(|value| {
        let shape = value.ty.concrete().unwrap();
        let numbers = (0..shape.iter().product()).map(|i: usize| (i * 29 % 17) as f32 / 17.0 - 0.5).collect();
        (value.name.clone(), Tensor::f32(shape, numbers).unwrap())
    });
    let params: Params = params.collect();
    let mut weights = Weights::new(&[&graph], &params, BatchNorm::Frozen, |_| true).unwrap();
    let mut step = Step::new(&graph, &weights, |_| true, Settings::detect().unwrap()).unwrap();
    let numbers: Vec<f32> = (0..96).map(|i| (i * 13 % 11) as f32 / 11.0).collect();
    let inputs = [(&[3, 2, 4, 4][..], Input::F32(&numbers))];
    assert!(step.run_rest(&mut weights, &inputs).unwrap_err().to_string().contains("cannot go on"));
    assert!(step.run_until(2, &weights, &inputs).unwrap_err().to_string().contains("no output 2"));

    step.run_until(1, &weights, &inputs).unwrap();
    let drawn = step.output(1).unwrap().1.to_vec();
    let judge = weights.slices().iter().find(|slice| slice.name == "judge.weight").unwrap().range.clone();
    weights.parameters[judge].iter_mut().for_each(|x| *x = *x * 3.0 + 0.25);
    let loss = step.run_rest(&mut weights, &inputs).unwrap();
    let gradients = std::mem::take(&mut weights.gradients);
    assert_eq!(step.output(1).unwrap().1, drawn);
    weights.gradients = vec![0.0; gradients.len()];
    assert_eq!(step.run(&mut weights, &inputs).unwrap(), loss);
    assert_eq!(weights.gradients, gradients);
    assert!(step.run_rest(&mut weights, &inputs).is_err(), "it did not stop");
}
