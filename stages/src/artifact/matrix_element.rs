//! Numbers in a `.npy` file, of any type that NumPy has for real numbers, as float64.

use burn::tensor::f16;
use npyz::{Endianness, TypeChar, TypeStr};

use super::npy_header::ValueKind;

/// Encoding of the values of a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    /// Bytes of one value.
    pub(crate) size: usize,
    /// Appends the values encoded in some bytes.
    pub(crate) decode: fn(&[u8], &mut Vec<f64>),
}

/// A decoder of both orders of bytes, picked by the order that a type has.
macro_rules! decoder {
    ($order:expr, $number:ty, $to_float:expr) => {{
        let (little, big): (fn(&[u8], &mut Vec<f64>), fn(&[u8], &mut Vec<f64>)) = (
            |bytes, values| {
                values.extend(
                    bytes
                        .chunks_exact(size_of::<$number>())
                        .map(|bytes| $to_float(<$number>::from_le_bytes(array(bytes)))),
                )
            },
            |bytes, values| {
                values.extend(
                    bytes
                        .chunks_exact(size_of::<$number>())
                        .map(|bytes| $to_float(<$number>::from_be_bytes(array(bytes)))),
                )
            },
        );
        Element { size: size_of::<$number>(), decode: if matches!($order, Endianness::Big) { big } else { little } }
    }};
}

impl Element {
    /// The element called `kind`, if it is a real number. Integers of 64 bits are rounded to 53.
    pub(crate) fn of(kind: &TypeStr) -> Option<Element> {
        let order = kind.endianness();
        Some(match (kind.type_char(), kind.size_field()) {
            (TypeChar::Float, 2) => decoder!(order, f16, f16::to_f64),
            (TypeChar::Float, 4) => decoder!(order, f32, f64::from),
            (TypeChar::Float, 8) => decoder!(order, f64, f64::from),
            (TypeChar::Int, 1) => decoder!(order, i8, f64::from),
            (TypeChar::Int, 2) => decoder!(order, i16, f64::from),
            (TypeChar::Int, 4) => decoder!(order, i32, f64::from),
            (TypeChar::Int, 8) => decoder!(order, i64, |number| number as f64),
            (TypeChar::Uint | TypeChar::Bool, 1) => decoder!(order, u8, f64::from),
            (TypeChar::Uint, 2) => decoder!(order, u16, f64::from),
            (TypeChar::Uint, 4) => decoder!(order, u32, f64::from),
            (TypeChar::Uint, 8) => decoder!(order, u64, |number| number as f64),
            _ => return None,
        })
    }
}

/// The bytes of one value; `chunks_exact` gives that many.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

/// Description of an array of another type, and the line of NumPy that makes numbers of it.
pub(super) fn refusal(kind: &ValueKind) -> (String, String) {
    let save = |array: &str| format!("Save the numbers alone: `numpy.save(file, {array})`.");
    let kind = match kind {
        ValueKind::Plain(kind) => kind,
        ValueKind::Fields => {
            let rows = "numpy.lib.recfunctions.structured_to_unstructured(array)";
            return ("the array has fields, as of a table".to_owned(), save(rows));
        }
        ValueKind::Unknown(name) => {
            return (format!("the array holds values of an unknown type (`{name}`)"), save("array.astype(\"f8\")"));
        }
    };
    let (what, array) = match kind.type_char() {
        TypeChar::Complex => ("complex numbers", "array.real"),
        TypeChar::Float => ("floats of more than 64 bits", "array.astype(\"f8\")"),
        TypeChar::DateTime => ("points in time", "array.astype(\"i8\")"),
        TypeChar::TimeDelta => ("spans of time", "array.astype(\"i8\")"),
        TypeChar::ByteStr | TypeChar::UnicodeStr => ("text", "array.astype(float)"),
        _ => ("no numbers", "array.astype(float)"),
    };
    (format!("the array holds {what} (`{kind}`)"), save(array))
}
