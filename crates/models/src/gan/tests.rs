use super::*;
use percept_graph::DIRECTION;

#[test]
fn sizes_are_small_sides_doubled() {
    for (size, expected) in [(8, (4, 1)), (28, (7, 2)), (32, (4, 3)), (48, (6, 3)), (64, (4, 4))] {
        let gan = Gan::new(size, 1, 0);
        assert_eq!(gan.halvings().unwrap(), expected, "{size}");
        let graph = gan.generator().unwrap();
        assert_eq!(graph.value(graph.outputs()[0]).ty.to_string(), format!("f32[N, 1, {size}, {size}]"));
        assert_eq!(graph.inputs().len(), 1);
    }
    for size in [0, 1, 7, 30, 33, 100] {
        let error = Gan::new(size, 1, 2).generator_loss().unwrap_err();
        assert!(error.to_string().contains("cannot be drawn"), "{size}: {error}");
    }
}

#[test]
fn both_losses_share_all_parameters_and_take_the_same_directions() {
    for classes in [0, 3] {
        let gan = Gan::new(28, 3, classes);
        let [of_discriminator, of_generator] = [gan.discriminator_loss().unwrap(), gan.generator_loss().unwrap()];
        let names = |graph: &Graph| graph.parameters().map(|value| value.name.clone()).collect::<Vec<_>>();
        let inputs = |graph: &Graph| graph.inputs().iter().map(|&id| graph.value(id).name.clone()).collect::<Vec<_>>();
        let mut parameters = [names(&of_discriminator), names(&of_generator)];
        parameters.iter_mut().for_each(|names| names.sort());
        assert_eq!(parameters[0], parameters[1]);
        assert!(parameters[0].iter().all(|name| name.starts_with(GENERATOR) || name.starts_with(DISCRIMINATOR)));
        let given = if classes > 0 { vec!["noise", "class", "pictures"] } else { vec!["noise", "pictures"] };
        let mut expected: Vec<String> = given.into_iter().map(String::from).collect();
        let weights = names(&of_discriminator)
            .into_iter()
            .filter(|name| classes > 0 && name.starts_with(DISCRIMINATOR) && name.ends_with(".weight"));
        expected.extend(weights.map(|name| name + DIRECTION));
        assert_eq!(inputs(&of_discriminator), expected);
        expected.retain(|name| name != "pictures");
        assert_eq!(inputs(&of_generator), expected);
    }
}
