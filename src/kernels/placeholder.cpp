namespace mcomp::inline v0::kernels {}
