//! Dimensions as expressions over named symbols.
//!
//! A [`Dim`] is a polynomial with integer coefficients whose variables are symbols (`N`, `height`) and floor divisions of other
//! dimensions. This is closed under what shape rules do (add, multiply, divide with rounding down), and two dimensions that are
//! equal by these rules have one form, so shapes are compared with `==`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Add, Mul, Sub};

/// Values for the symbols of a graph's dimensions: one binding specialises a graph to one set of sizes.
pub type Bindings = BTreeMap<String, usize>;

/// One variable of the polynomial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Atom {
    Symbol(String),
    FloorDiv(Dim, i64),
}

/// More terms than this arise only from hostile files: the dimension then counts as too large.
const MAX_TERMS: usize = 64;

/// The size of one axis: an integer, a symbol, or an expression over symbols.
///
/// ```
/// use percept_graph::{Bindings, Dim};
///
/// let height = Dim::symbol("H");
/// let halved = (height.clone() + 1).floor_div(2);
/// assert_eq!(halved.to_string(), "floor((H + 1)/2)");
/// assert_eq!(halved.eval(&Bindings::from([("H".into(), 7)])), Some(4));
/// assert_eq!((height.clone() * 4 + 2).floor_div(2), height * 2 + 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dim(BTreeMap<Vec<Atom>, i64>);

impl Dim {
    /// The dimension called `name`, whose size a binding gives.
    pub fn symbol(name: impl Into<String>) -> Self {
        Self(BTreeMap::from([(vec![Atom::Symbol(name.into())], 1)]))
    }

    fn too_large() -> Self {
        i64::MAX.into()
    }

    /// The size, if it is a plain number.
    pub fn as_const(&self) -> Option<i64> {
        match self.0.len() {
            0 => Some(0),
            1 => self.0.get(&Vec::new()).copied(),
            _ => None,
        }
    }

    /// The size under `bindings`; `None` if a symbol has no value or the size is negative or beyond 2⁴⁸.
    pub fn eval(&self, bindings: &Bindings) -> Option<usize> {
        let size = self.eval_i128(bindings)?;
        (size < 1 << 48).then(|| usize::try_from(size).ok()).flatten()
    }

    fn eval_i128(&self, bindings: &Bindings) -> Option<i128> {
        let mut sum = 0i128;
        for (atoms, &coefficient) in &self.0 {
            let mut product = i128::from(coefficient);
            for atom in atoms {
                let factor = match atom {
                    Atom::Symbol(name) => i128::try_from(*bindings.get(name)?).ok()?,
                    Atom::FloorDiv(dim, by) => dim.eval_i128(bindings)?.div_euclid(i128::from(*by)),
                };
                product = product.checked_mul(factor)?;
            }
            sum = sum.checked_add(product)?;
        }
        Some(sum)
    }

    /// Every symbol replaced by its binding; symbols without one stay.
    pub fn bind(&self, bindings: &Bindings) -> Self {
        let mut sum = Self::from(0);
        for (atoms, &coefficient) in &self.0 {
            let product = atoms.iter().fold(Self::from(coefficient), |product, atom| {
                product
                    * match atom {
                        Atom::Symbol(name) => match bindings.get(name) {
                            Some(&size) => Self::from(size),
                            None => Self::symbol(name),
                        },
                        Atom::FloorDiv(dim, by) => dim.bind(bindings).floor_div(*by),
                    }
            });
            sum = sum + product;
        }
        sum
    }

    /// Adds the names of all symbols to `names`.
    pub fn symbols(&self, names: &mut std::collections::BTreeSet<String>) {
        for atom in self.0.keys().flatten() {
            match atom {
                Atom::Symbol(name) => drop(names.insert(name.clone())),
                Atom::FloorDiv(dim, _) => dim.symbols(names),
            }
        }
    }

    /// The name, if the dimension is one bare symbol.
    pub fn as_symbol(&self) -> Option<&str> {
        match self.0.iter().next() {
            Some((atoms, 1)) if self.0.len() == 1 => match atoms.as_slice() {
                [Atom::Symbol(name)] => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// `self / by` rounded down; `by` must be positive.
    ///
    /// Terms that `by` divides leave the floor, so `floor((2·H + 1)/2)` and `H` are one dimension.
    pub fn floor_div(&self, by: i64) -> Self {
        assert!(by > 0, "a dimension is divided by {by}");
        let mut whole = Self::from(0);
        let mut rest = Self::from(0);
        for (atoms, &coefficient) in &self.0 {
            let quotient = coefficient.div_euclid(by);
            if atoms.is_empty() || coefficient % by == 0 {
                whole = whole + Self(BTreeMap::from([(atoms.clone(), quotient)]));
                rest = rest + coefficient.rem_euclid(by);
            } else {
                rest = rest + Self(BTreeMap::from([(atoms.clone(), coefficient)]));
            }
        }
        whole.0.retain(|_, c| *c != 0);
        match rest.as_const() {
            Some(rest) => whole + rest.div_euclid(by),
            None => whole + Self(BTreeMap::from([(vec![Atom::FloorDiv(rest, by)], 1)])),
        }
    }

    /// `self / by` if that leaves no remainder for any binding and `by` is a number or a single product of symbols.
    pub fn exact_div(&self, by: &Self) -> Option<Self> {
        let mut divisor = by.0.iter();
        let (Some((by_atoms, &by_coefficient)), None) = (divisor.next(), divisor.next()) else {
            return (self == by && by.as_const() != Some(0)).then(|| 1.into());
        };
        let mut quotient = BTreeMap::new();
        for (atoms, coefficient) in &self.0 {
            let mut left = atoms.clone();
            for atom in by_atoms {
                left.remove(left.iter().position(|a| a == atom)?);
            }
            if coefficient.checked_rem(by_coefficient)? != 0 {
                return None;
            }
            quotient.insert(left, coefficient / by_coefficient);
        }
        Some(Self(quotient))
    }
}

impl From<i64> for Dim {
    fn from(size: i64) -> Self {
        Self(if size == 0 { BTreeMap::new() } else { BTreeMap::from([(Vec::new(), size)]) })
    }
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        i64::try_from(size).unwrap_or(i64::MAX).into()
    }
}

impl From<i32> for Dim {
    fn from(size: i32) -> Self {
        i64::from(size).into()
    }
}

impl From<&str> for Dim {
    fn from(name: &str) -> Self {
        Self::symbol(name)
    }
}

impl<T: Into<Dim>> Add<T> for Dim {
    type Output = Self;

    fn add(mut self, other: T) -> Self {
        for (atoms, coefficient) in other.into().0 {
            let sum = self.0.entry(atoms).or_insert(0);
            *sum = sum.saturating_add(coefficient);
        }
        self.0.retain(|_, coefficient| *coefficient != 0);
        if self.0.len() > MAX_TERMS { Self::too_large() } else { self }
    }
}

impl<T: Into<Dim>> Sub<T> for Dim {
    type Output = Self;

    fn sub(self, other: T) -> Self {
        self + other.into() * -1
    }
}

impl<T: Into<Dim>> Mul<T> for Dim {
    type Output = Self;

    fn mul(self, other: T) -> Self {
        let other = other.into();
        if self.0.len() * other.0.len() > MAX_TERMS || self.0.keys().chain(other.0.keys()).any(|a| a.len() > 16) {
            return Self::too_large();
        }
        let mut product = Self::from(0);
        for (a, x) in &self.0 {
            for (b, y) in &other.0 {
                let mut atoms = [a.as_slice(), b].concat();
                atoms.sort();
                product = product + Self(BTreeMap::from([(atoms, x.saturating_mul(*y))]));
            }
        }
        product
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        // The constant term is the first key; it reads better last.
        let terms = self.0.iter().skip_while(|(atoms, _)| atoms.is_empty()).chain(self.0.get_key_value(&Vec::new()));
        for (i, (atoms, &coefficient)) in terms.enumerate() {
            match (i, coefficient < 0) {
                (0, false) => {}
                (0, true) => f.write_str("-")?,
                (_, false) => f.write_str(" + ")?,
                (_, true) => f.write_str(" - ")?,
            }
            let size = coefficient.unsigned_abs();
            if size != 1 || atoms.is_empty() {
                write!(f, "{size}")?;
            }
            for (j, atom) in atoms.iter().enumerate() {
                if j > 0 || size != 1 {
                    f.write_str("·")?;
                }
                match atom {
                    Atom::Symbol(name) => f.write_str(name)?,
                    Atom::FloorDiv(dim, by) => write!(f, "floor(({dim})/{by})")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dim() -> impl Strategy<Value = Dim> {
        let leaf = prop_oneof![(0i64..20).prop_map(Dim::from), "[HWN]".prop_map(Dim::symbol)];
        leaf.prop_recursive(4, 16, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a + b),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a * b),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| a - b),
                (inner, 1i64..5).prop_map(|(a, by)| a.floor_div(by)),
            ]
        })
    }

    proptest! {
        #[test]
        fn arithmetic_commutes_with_evaluation(a in dim(), b in dim(), by in 1i64..6, h in 0usize..30, w in 0usize..30) {
            let at = Bindings::from([("H".into(), h), ("W".into(), w), ("N".into(), 3)]);
            if let (Some(x), Some(y)) = (a.eval_i128(&at), b.eval_i128(&at)) {
                prop_assert_eq!((a.clone() + b.clone()).eval_i128(&at), Some(x + y));
                prop_assert_eq!((a.clone() - b.clone()).eval_i128(&at), Some(x - y));
                prop_assert_eq!(a.floor_div(by).eval_i128(&at), Some(x.div_euclid(by.into())));
                prop_assert_eq!(a.bind(&at).as_const().map(i128::from), Some(x));
                let product = a.clone() * b.clone();
                if product != Dim::too_large() {
                    prop_assert_eq!(product.eval_i128(&at), Some(x * y));
                }
                if let Some(quotient) = product.exact_div(&b) && y != 0 {
                    prop_assert_eq!(quotient.eval_i128(&at), Some(x));
                }
            }
        }
    }

    #[test]
    fn growth_without_bound_counts_as_too_large() {
        let mut dim = Dim::symbol("a") + 1;
        for name in ["b", "c", "d", "e", "f", "g", "h", "i"] {
            dim = dim * (Dim::symbol(name) + 1);
        }
        assert_eq!(dim.eval(&Bindings::from([("a".into(), 1)])), None);
    }
}
