//! Options, lists, and values of any kind.

use crate::{Keys, Read, Scalar, Shape, Unfit};
use serde_json::Value;
use std::sync::Arc;

/// `null` is `None`; anything else is read into a value, whatever was there before.
impl<T: Read> Read for Option<T> {
    fn start() -> Self {
        None
    }

    fn expected(&self) -> &'static str {
        self.as_ref().map_or("null or a value", T::expected)
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
        self.insert(T::start()).scalar(scalar)
    }

    fn null(&mut self) -> bool {
        *self = None;
        true
    }

    fn begin(&mut self, shape: Shape) -> bool {
        self.insert(T::start()).begin(shape)
    }

    fn element(&mut self) -> Option<&mut dyn Read> {
        self.as_mut()?.element()
    }

    fn entry(&mut self, key: &str, keys: &mut Keys) -> Result<Option<&mut dyn Read>, Unfit> {
        self.as_mut().map_or(Ok(None), |value| value.entry(key, keys))
    }

    fn takes_null(&self) -> bool {
        self.as_ref().is_none_or(T::takes_null)
    }

    fn without_last(&mut self) {
        if let Some(value) = self {
            value.without_last();
        }
    }

    fn lacks(&self, keys: &Keys) -> Option<&'static str> {
        self.as_ref()?.lacks(keys)
    }

    fn end(&mut self) {
        if let Some(value) = self {
            value.end();
        }
    }
}

/// One that nobody else has is read into; it is made its own before.
impl<T: Read + Clone> Read for Arc<T> {
    fn start() -> Self {
        Self::new(T::start())
    }

    fn expected(&self) -> &'static str {
        T::expected(self)
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
        Self::make_mut(self).scalar(scalar)
    }

    fn null(&mut self) -> bool {
        Self::make_mut(self).null()
    }

    fn begin(&mut self, shape: Shape) -> bool {
        Self::make_mut(self).begin(shape)
    }

    fn element(&mut self) -> Option<&mut dyn Read> {
        Self::make_mut(self).element()
    }

    fn entry(&mut self, key: &str, keys: &mut Keys) -> Result<Option<&mut dyn Read>, Unfit> {
        Self::make_mut(self).entry(key, keys)
    }

    fn takes_null(&self) -> bool {
        T::takes_null(self)
    }

    fn without_last(&mut self) {
        Self::make_mut(self).without_last();
    }

    fn lacks(&self, keys: &Keys) -> Option<&'static str> {
        T::lacks(self, keys)
    }

    fn end(&mut self) {
        Self::make_mut(self).end();
    }
}

impl<T: Read> Read for Vec<T> {
    fn start() -> Self {
        Self::new()
    }

    fn expected(&self) -> &'static str {
        "a sequence"
    }

    fn begin(&mut self, shape: Shape) -> bool {
        self.clear();
        shape == Shape::List
    }

    fn element(&mut self) -> Option<&mut dyn Read> {
        self.push(T::start());
        self.last_mut().map(|element| element as &mut dyn Read)
    }
}

impl Read for Value {
    fn start() -> Self {
        Self::Null
    }

    fn expected(&self) -> &'static str {
        "any value"
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
        *self = match scalar {
            Scalar::Bool(value) => value.into(),
            Scalar::Unsigned(number) => number.into(),
            Scalar::Signed(number) => number.into(),
            Scalar::Float(number) => number.into(),
            Scalar::Text(text) => text.into(),
        };
        Ok(())
    }

    fn null(&mut self) -> bool {
        *self = Self::Null;
        true
    }

    fn begin(&mut self, shape: Shape) -> bool {
        *self = match shape {
            Shape::List => Self::Array(Vec::new()),
            Shape::Object => Self::Object(serde_json::Map::new()),
        };
        true
    }

    fn element(&mut self) -> Option<&mut dyn Read> {
        let list = self.as_array_mut()?;
        list.push(Self::Null);
        list.last_mut().map(|element| element as &mut dyn Read)
    }

    fn entry(&mut self, key: &str, _keys: &mut Keys) -> Result<Option<&mut dyn Read>, Unfit> {
        let Self::Object(map) = self else { return Ok(None) };
        Ok(Some(map.entry(key).or_insert(Self::Null)))
    }
}
