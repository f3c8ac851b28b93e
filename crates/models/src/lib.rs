//! Which networks there are, and their pretrained weights.
