"""What a program is: dtypes, dims, ops, tensors (= nodes), graphs, and the loop IR they are lowered to."""
