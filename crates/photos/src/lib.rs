//! Where pictures come from: scanning folders, decoding, resizing, splitting, augmenting and synthesising.
