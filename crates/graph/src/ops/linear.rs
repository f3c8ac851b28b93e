//! Matrix products.

use super::{Inferred, Operator, arity, broadcast, expect_float};
use crate::TensorType;
use crate::onnx::{NodeReader, NodeWriter};

/// Matrix product with numpy's rules: the last two axes multiply, the others broadcast, a vector is a row or a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatMul;

impl Operator for MatMul {
    const NAME: &'static str = "MatMul";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let [Some(a), Some(b)] = arity(inputs, 2)? else { return Err("takes 2 inputs".into()) };
        expect_float(a)?;
        if a.dtype != b.dtype {
            return Err(format!("cannot multiply {} and {}", a.dtype, b.dtype));
        }
        if a.rank() == 0 || b.rank() == 0 {
            return Err("a number is not a matrix".into());
        }
        let (a_batch, a_matrix) = a.shape.split_at(a.rank().saturating_sub(2));
        let (b_batch, b_matrix) = b.shape.split_at(b.rank().saturating_sub(2));
        let (inner_a, inner_b) = (&a_matrix[a_matrix.len() - 1], &b_matrix[0]);
        if inner_a != inner_b {
            return Err(format!("the inner sizes {inner_a} and {inner_b} differ"));
        }
        let mut shape = broadcast(a_batch, b_batch)?;
        shape.extend(a_matrix[..a_matrix.len() - 1].iter().cloned());
        shape.extend(b_matrix[1..].iter().cloned());
        Ok(vec![TensorType::new(a.dtype, shape)])
    }

    fn read(_: &NodeReader<'_>) -> Result<Self, String> {
        Ok(Self)
    }

    fn write(&self, _: &mut NodeWriter<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// `alpha · A · B + beta · C` for matrices, `A` or `B` transposed on request, `C` broadcast.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Factor of the product (1 by default).
    pub alpha: f32,
    /// Factor of `C` (1 by default).
    pub beta: f32,
    /// Whether `A` is given transposed.
    pub trans_a: bool,
    /// Whether `B` is given transposed.
    pub trans_b: bool,
}

impl Operator for Gemm {
    const NAME: &'static str = "Gemm";

    fn infer(&self, inputs: &[Option<&TensorType>]) -> Inferred {
        let [Some(a), Some(b), c] = arity(inputs, 2)? else { return Err("takes 2 to 3 inputs".into()) };
        expect_float(a)?;
        let ([a0, a1], [b0, b1]) = (a.shape.as_slice(), b.shape.as_slice()) else {
            return Err("A and B must be matrices".into());
        };
        let (rows, inner_a) = if self.trans_a { (a1, a0) } else { (a0, a1) };
        let (inner_b, columns) = if self.trans_b { (b1, b0) } else { (b0, b1) };
        if inner_a != inner_b {
            return Err(format!("the inner sizes {inner_a} and {inner_b} differ"));
        }
        if a.dtype != b.dtype || c.is_some_and(|c| c.dtype != a.dtype) {
            return Err("A, B and C have different element types".into());
        }
        let shape = vec![rows.clone(), columns.clone()];
        if let Some(c) = c
            && broadcast(&shape, &c.shape)? != shape
        {
            return Err(format!("C does not broadcast to [{rows}, {columns}]"));
        }
        Ok(vec![TensorType::new(a.dtype, shape)])
    }

    fn read(node: &NodeReader<'_>) -> Result<Self, String> {
        Ok(Self {
            alpha: node.float("alpha", 1.0)?,
            beta: node.float("beta", 1.0)?,
            trans_a: node.flag("transA")?,
            trans_b: node.flag("transB")?,
        })
    }

    fn write(&self, node: &mut NodeWriter<'_>) -> Result<(), String> {
        node.float("alpha", self.alpha);
        node.float("beta", self.beta);
        node.int("transA", self.trans_a.into());
        node.int("transB", self.trans_b.into());
        Ok(())
    }
}
