use super::*;
use percept_graph::{Builder, TensorType};

#[test]
fn a_network_needs_a_loss_for_each_output() {
    let mut graph = Graph::new("net");
    let x = graph.add_input("x", TensorType::new(DType::F32, [1.into(), 2.into()])).unwrap();
    graph.set_outputs([x, x]);
    let settings = Settings::detect().unwrap();
    let made = Trainer::new(&graph, &Params::new(), BatchNorm::Frozen, |_| true, settings);
    assert!(made.err().unwrap().to_string().contains("one output"));
}

/// Three classes and a number from one hidden layer, for a batch of four of which some answers are missing.
struct Questions {
    trainer: Trainer,
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
        let losses = [Loss::CrossEntropy, Loss::SquaredError];
        let settings = Settings::detect().unwrap();
        let trainer = Trainer::with_losses(&graph, &params, &losses, BatchNorm::Frozen, |_| true, settings).unwrap();
        let classes = vec![2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 1.8, 0.0, 0.0, 0.0];
        let lists = vec![classes, vec![0.5, -1.0, 9.0, 0.3], vec![1.5, 1.0, 0.0, 1.5]];
        Self { trainer, pictures: numbers(12, 5), lists }
    }

    fn loss(&mut self) -> f32 {
        self.trainer.gradients_of_all(&[4, 3], Input::F32(&self.pictures), &self.lists).unwrap()
    }
}

#[test]
fn gradients_of_several_losses_agree_with_finite_differences() {
    let mut questions = Questions::new();
    questions.loss();
    let gradients = questions.trainer.gradients.clone();
    assert!(gradients.iter().any(|x| x.abs() > 0.1));
    for (i, gradient) in gradients.into_iter().enumerate() {
        const STEP: f32 = 1e-2;
        let x = questions.trainer.parameters[i];
        let mut at = |x| {
            questions.trainer.parameters[i] = x;
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
    assert!(
        questions.trainer.gradients_of_all(&[4, 3], Input::F32(&questions.pictures), &questions.lists[..2]).is_err()
    );
}
