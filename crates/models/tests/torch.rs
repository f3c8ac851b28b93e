//! Legacy PyTorch files: tensors come out as PyTorch sees them, everything else is refused.

#![allow(clippy::unwrap_used)] // A failed test helper is a failed test.

use percept_graph::{Tensor, TensorData};
use percept_models::torch::read;
use proptest::prelude::*;

const SMALL: &[u8] = include_bytes!("golden/small.pth");

#[test]
fn tensors_and_views_are_read_as_pytorch_sees_them() {
    let tensors = read(SMALL).unwrap();
    let f32 = |shape: &[usize], data: &[f32]| Tensor::f32(shape, data.to_vec()).unwrap();
    assert_eq!(tensors["plain"], f32(&[2, 2], &[1.5, -2.0, 3.25, 0.0]));
    assert_eq!(tensors["view"], f32(&[2, 3], &[6.0, 8.0, 10.0, 12.0, 14.0, 16.0]));
    let transposed: Vec<f32> = (0..6).flat_map(|x| (0..4).map(move |y| (y * 6 + x) as f32)).collect();
    assert_eq!(tensors["transposed"], f32(&[6, 4], &transposed));
    assert_eq!(tensors["count"].data(), &TensorData::I64(vec![7]));
    assert_eq!(tensors["double"].data(), &TensorData::F64(vec![0.1]));
}

#[test]
fn a_file_that_would_run_a_command_is_refused() {
    let reason = read(include_bytes!("golden/evil.pth")).unwrap_err();
    assert!(reason.contains("asks for posix.system, which is not a tensor: it is refused"), "{reason}");
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    assert!((0..SMALL.len()).all(|end| read(&SMALL[..end]).is_err()));
}

#[test]
fn sizes_beyond_the_storage_are_refused() {
    // The sizes of "plain" are pickled as K\x02K\x02: make one of them 255.
    let at = SMALL.windows(4).position(|bytes| bytes == b"K\x02K\x02").unwrap();
    let mut bytes = SMALL.to_vec();
    bytes[at + 1] = 255;
    let reason = read(&bytes).unwrap_err();
    assert!(reason.contains("its storage"), "{reason}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = SMALL.to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(&bytes);
    }
}
