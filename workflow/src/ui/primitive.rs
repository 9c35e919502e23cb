//! Values that primitives put into the widgets they are linked to.

use crate::{
    catalog::{InputDef, InputKind},
    json::{Number, Value},
};

/// A number as the widget takes it when another node sets it: with as many digits as a step of the widget has.
pub(super) fn taken(value: Value, input: Option<&InputDef>) -> Value {
    let (Some(number), Some(input)) = (value.as_number(), input) else { return value };
    if input.kind != InputKind::Float || number.is_integer() || !number.is_finite() {
        return value;
    }
    let digits = digits(input.step.as_ref().map_or(0.5, Number::as_f64));
    if digits == 0 {
        return value;
    }
    let rounded: f64 = format!("{:.digits$}", number.as_f64()).parse().unwrap_or(number.as_f64());
    if rounded.to_bits() == number.as_f64().to_bits() {
        value
    } else {
        Value::Number(Number::from_f64(rounded))
    }
}

/// Digits after the point: 1 for a step of 0.5 or 0.1, 2 for 0.05.
fn digits(step: f64) -> usize {
    (0..=12_u8).find(|digits| step * 10_f64.powi(i32::from(*digits)) >= 1.0 - 1e-9).map_or(0, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalog;

    #[test]
    fn a_float_has_the_digits_of_its_step() {
        let cfg = Catalog::core().get("KSampler").unwrap().input("cfg");
        let number = |text: &str| Value::Number(Number::parse(text).unwrap());
        assert_eq!(taken(number("0.75"), cfg), number("0.8"));
        assert_eq!(taken(number("7.5"), cfg), number("7.5"));
        assert_eq!(taken(number("7"), cfg), number("7"));
        assert_eq!(taken(number("0.123"), None), number("0.123"));
        assert_eq!([digits(1.0), digits(0.5), digits(0.1), digits(0.05), digits(0.001)], [0, 1, 1, 2, 3]);
    }
}
