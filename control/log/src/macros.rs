//! The macros: `info!(%display, ?debug, plain, name = %value, "message {}", argument)`.

/// Says an error.
#[macro_export]
macro_rules! error {
    ($($event:tt)+) => { $crate::said!((Error) [] [] $($event)+) };
}

/// Says a warning.
#[macro_export]
macro_rules! warn {
    ($($event:tt)+) => { $crate::said!((Warn) [] [] $($event)+) };
}

/// Says what whoever runs the program wants to know.
#[macro_export]
macro_rules! info {
    ($($event:tt)+) => { $crate::said!((Info) [] [] $($event)+) };
}

/// Says what helps to find a mistake. The fields are not evaluated where nobody wants it.
#[macro_export]
macro_rules! debug {
    ($($event:tt)+) => {
        if $crate::enabled($crate::Level::Debug) {
            $crate::said!((Debug) [] [] $($event)+)
        }
    };
}

/// Says a step. The fields are not evaluated where nobody wants it.
#[macro_export]
macro_rules! trace {
    ($($event:tt)+) => {
        if $crate::enabled($crate::Level::Trace) {
            $crate::said!((Trace) [] [] $($event)+)
        }
    };
}

/// Takes one field after another, then the message.
#[doc(hidden)]
#[macro_export]
macro_rules! said {
    ($level:tt [$($name:expr,)*] [$($value:expr,)*] $key:ident = % $new:expr, $($rest:tt)+) => {
        $crate::said!($level [$($name,)* stringify!($key),] [$($value,)* $crate::Value::Display(&$new),] $($rest)+)
    };
    ($level:tt [$($name:expr,)*] [$($value:expr,)*] $key:ident = ? $new:expr, $($rest:tt)+) => {
        $crate::said!($level [$($name,)* stringify!($key),] [$($value,)* $crate::Value::Debug(&$new),] $($rest)+)
    };
    ($level:tt [$($name:expr,)*] [$($value:expr,)*] $key:ident = $new:expr, $($rest:tt)+) => {
        $crate::said!($level [$($name,)* stringify!($key),] [$($value,)* $crate::plain(&$new),] $($rest)+)
    };
    ($level:tt [$($name:expr,)*] [$($value:expr,)*] % $new:ident, $($rest:tt)+) => {
        $crate::said!($level [$($name,)* stringify!($new),] [$($value,)* $crate::Value::Display(&$new),] $($rest)+)
    };
    ($level:tt [$($name:expr,)*] [$($value:expr,)*] ? $new:ident, $($rest:tt)+) => {
        $crate::said!($level [$($name,)* stringify!($new),] [$($value,)* $crate::Value::Debug(&$new),] $($rest)+)
    };
    ($level:tt [$($name:expr,)*] [$($value:expr,)*] $new:ident, $($rest:tt)+) => {
        $crate::said!($level [$($name,)* stringify!($new),] [$($value,)* $crate::plain(&$new),] $($rest)+)
    };
    (($level:ident) [$($name:expr,)*] [$($value:expr,)*] $($message:tt)+) => {
        $crate::event($crate::Level::$level, format_args!($($message)+), &[$($name),*], &[$($value),*])
    };
}
