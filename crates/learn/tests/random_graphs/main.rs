//! A thousand random networks, and some larger ones, train a step, on the planner as on the reference.
//!
//! Proptest draws and shrinks them from fixed seeds. ReLU has a corner, and maxima have ties: where f32 and f64 fall on different
//! sides of one, they rightly disagree. That is a coincidence of numbers, while a wrong kernel is wrong for all: a network that
//! disagrees gets fresh numbers once, and few may need them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod build;
mod check;
mod recipe;
mod refused;

use check::check;
use percept_engine::Settings;
use percept_engine::simd::Isa;
use percept_graph::{Op, ops};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use recipe::{Head, Layer, Recipe, recipes};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

fn runner(seed: u8, cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

/// Checks networks, each on one of the instruction sets, at one and at two or three threads; gives back the names of their operators.
fn agree(seed: u8, cases: u32, recipes: impl Strategy<Value = Recipe>) -> BTreeSet<&'static str> {
    let pools = [1, 2, 3].map(|threads| Settings::detect().unwrap().with_threads(threads).unwrap());
    let isas = Isa::available();
    let (redrawn, seen) = (Cell::new(0), RefCell::new(BTreeSet::new()));
    let result = runner(seed, cases).run(&recipes, |recipe| {
        let isa = isas[recipe.seed as usize % isas.len()];
        let more = 1 + (recipe.seed >> 32) as usize % 2;
        let settings = [0, more].map(|i: usize| Settings { isa, ..pools[i].clone() });
        let checked = check(&recipe, recipe.seed, &settings).or_else(|first| {
            redrawn.set(redrawn.get() + 1);
            check(&recipe, !recipe.seed, &settings).map_err(|second| format!("{isa:?}: {first}; redrawn: {second}"))
        });
        seen.borrow_mut().extend(checked.map_err(TestCaseError::fail)?);
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    assert!(redrawn.get() <= 2, "{} of {cases} networks disagreed at first", redrawn.get());
    seen.into_inner()
}

/// A quarter of the thousand: tests run side by side.
fn quarter(seed: u8) {
    let seen = agree(seed, 250, recipes(3..=13, 8));
    let all = Op::NAMES.iter().chain(Op::TRAINING_NAMES);
    let missing: Vec<_> = all.filter(|name| !seen.contains(*name)).collect();
    // In training, Dropout becomes DropoutTraining.
    assert_eq!(missing, [&"Cast", &"Dropout"], "operators that no network has");
}

#[test]
fn networks_1() {
    quarter(1);
}

#[test]
fn networks_2() {
    quarter(2);
}

#[test]
fn networks_3() {
    quarter(3);
}

#[test]
fn networks_4() {
    quarter(4);
}

/// Large enough that threads share the work of one operator.
#[test]
fn larger_networks() {
    agree(6, 150, recipes(32..=48, 4));
}

/// So many features that a block of the product holds less than one row; no convolution, for the reference is slow.
#[test]
fn a_very_long_row() {
    let recipe = Recipe {
        image: [2, 6, 110, 110],
        classes: 3,
        layers: vec![Layer::Simple(ops::Tanh {}.into())],
        head: Head::FlattenLinear,
        frozen: true,
        partly: false,
        seed: 7,
    };
    for isa in Isa::available() {
        let settings = [1, 2].map(|n| Settings { isa, ..Settings::detect().unwrap().with_threads(n).unwrap() });
        check(&recipe, recipe.seed, &settings).unwrap();
    }
}
