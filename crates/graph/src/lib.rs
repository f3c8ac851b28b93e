//! What a network is: one graph of operators with ONNX names and meaning.
