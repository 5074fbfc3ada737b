-- How well does the cosine alone, without training, tell real from fake?
-- A row is one generator with fakes and one level (global, local).
--
-- Clean images only; an image that is listed under several generators counts
-- once for each, one whose listings differ in their label for none. This tests
-- the hypothesis that fakes fit worse: auroc above 0.5 is for it, below 0.5
-- against it (`hypothesis` has a verdict). Cosines are compared in steps of
-- 2^-16, a quarter of what float16 vectors leave uncertain.
-- generator   as in listing
-- level       global: image and caption; local: mean over the objects
-- reals       measured images labelled real: of this generator, or, where none
--             are listed, all of the DAG
-- fakes       measured images labelled fake
-- auroc       probability that a real has a higher cosine than a fake; ties
--             half
-- auroc_low   lower end of its 95 % interval, by DeLong's variance, on the
--             logit scale; null of too few images, and where auroc is 0 or 1
-- auroc_high  upper end of it
-- delta       Cliff's delta, 2 auroc - 1

with source as (

    from versus_reals('clean', null)

)

select
    generator,
    level,
    reals,
    fakes,
    auroc,
    auroc_low,
    auroc_high,
    2 * auroc - 1 as delta
from source
where generators = 1 and auroc is not null
order by level, generator
