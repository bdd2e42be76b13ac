//! The browser rim.
