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
fn both_losses_share_the_discriminator_and_take_the_same_directions() {
    for classes in [0, 3] {
        let gan = Gan::new(28, 3, classes);
        let [of_discriminator, of_generator] = [gan.discriminator_loss().unwrap(), gan.generator_loss().unwrap()];
        let names = |graph: &Graph| graph.parameters().map(|value| value.name.clone()).collect::<Vec<_>>();
        let inputs = |graph: &Graph| graph.inputs().iter().map(|&id| graph.value(id).name.clone()).collect::<Vec<_>>();
        let all = names(&of_generator);
        assert!(all.iter().all(|name| name.starts_with(GENERATOR) || name.starts_with(DISCRIMINATOR)));
        let of_both: Vec<_> = all.iter().filter(|name| name.starts_with(DISCRIMINATOR)).cloned().collect();
        assert_eq!(names(&of_discriminator), of_both);
        let normalised = |name: &&String| classes > 0 && name.ends_with(".weight");
        let directions: Vec<_> = of_both.iter().filter(normalised).map(|name| name.clone() + DIRECTION).collect();
        let class = (classes > 0).then_some("class");
        let expected =
            |given: &[&str]| given.iter().map(ToString::to_string).chain(directions.clone()).collect::<Vec<_>>();
        assert_eq!(inputs(&of_discriminator), expected(&[class.as_slice(), &["pictures", "drawn"]].concat()));
        assert_eq!(inputs(&of_generator), expected(&[&["noise"], class.as_slice()].concat()));
    }
}
