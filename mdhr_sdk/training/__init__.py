"""Data, training and evaluation of MDHR (paper section 4; supplement section 4)."""
