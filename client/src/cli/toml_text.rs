//! Values of TOML files as the text that a command line would have.

use toml::de::DeValue;

/// A value of a TOML file as text: numbers in decimal, lists with commas between their items;
/// `None` for what has no such form, dates and tables.
pub fn text_of_toml(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        // A number of any size: who takes it knows the limits.
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| text_of_toml(item.get_ref()));
            Some(items.collect::<Option<Vec<_>>>()?.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}
