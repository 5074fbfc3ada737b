-- What |t| exceeds in 5 % of samples: mean - t_bound(n - 1) * sd / sqrt(n) is
-- the lower end of a mean's 95 % interval
--
-- df  degrees of freedom, at least 1; they need not be a whole number
--
-- Newton's method from the normal distribution's bound: the area is convex
-- there, so no step goes too far, and eight reach the last digits for any df.

create macro t_bound(df) as

list_reduce(
    list_prepend(1.959963984540054, range(8)::double[]),
    lambda t, step: t + (t_area(t, df) - 0.05 * t_area(0, df))
    * exp((df + 1) / 2 * ln(1 + t * t / df))
)
