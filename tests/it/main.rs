//! Black-box tests: the real binary on a real port.
