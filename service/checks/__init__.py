"""What `penumbra doctor` looks at, one subject per file. Nothing is changed by looking."""
