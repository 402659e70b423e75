"""The stages of `clozekit prepare`, in the order of their work: one file for each."""
