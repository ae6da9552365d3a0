"""Numbers of a window: pure functions of integer counts, the last axis is the bins, vectorised over the others.

The same counts give the same bits on every processor: floats go through +, -, *, / and sqrt only, in a fixed order.
`exact` has the logarithm and the sum that keep this law, and the rounding of what is published.
"""
