-- Do fakes align worse with their captions than reals, for each generator?
-- A row is one generator and level (global, local); the last, their mean.
--
-- A hypothesis, tested: nothing is trained. The verdict is by Welch's test that
-- the mean cosines are equal, which allows for unequal variances, and which the
-- interval of the difference belongs to; delta, of ranks, has its own. Of eight
-- generators one may differ by luck: so p has Holm's correction over all rows
-- of the level, and an interval that just leaves out 0 may be no difference.
-- Images whose listings differ in their label do not count; one at several
-- paths counts once for each of its generators.
-- param reals text null: this generator's, for all; null: see `against`
-- param variant text clean: of the images
-- generator    as in listing; mean of N: over those with an interval, each with
--              the same weight; an image of several is one draw for all
-- level        global: image and caption; local: mean over the objects of the
--              images that have some
-- difference   mean cosine of the reals - that of the fakes: above 0, fakes
--              align worse
-- low          lower end of its 95 % interval
-- high         upper end of it
-- delta        Cliff's: how much more often a real has a higher cosine than a
--              fake than a lower one; 1: always, 0: as often, -1: never
-- delta_low    lower end of its 95 % interval, by DeLong's variance; null also
--              where delta is 1 or -1
-- delta_high   upper end of it
-- p            of Welch's test, corrected
-- verdict      fakes align worse, or better: p below 0.05; no difference: none
--              that so many images show; too few: no interval, for want of two
--              images of each kind, or of two cosines of a kind that differ
-- reals        measured images labelled real
-- fakes        measured images labelled fake
-- cosine_real  mean cosine of the reals
-- cosine_fake  mean cosine of the fakes
-- against      whose reals: own; all of the DAG, where the generator has none;
--              or those of `reals`

with source as (

    from versus_reals($variant, $reals)

),

ranked as (

    select
        *,
        row_number() over (partition by level order by p, generator) as place,
        count(p) over (partition by level) as tests
    from source

),

corrected as (

    select
        *,
        max(least(1, p * (tests + 1 - place)))
            over (partition by level order by place) as holm
    from ranked

)

select
    if(generators > 1, format('mean of {}', generators), generator)
        as generator,
    level,
    difference,
    low,
    high,
    2 * auroc - 1 as delta,
    2 * auroc_low - 1 as delta_low,
    2 * auroc_high - 1 as delta_high,
    if(p is null, null, holm) as p,
    case
        when p is null then 'too few'
        when holm >= 0.05 then 'no difference'
        when difference > 0 then 'fakes align worse'
        else 'fakes align better'
    end as verdict,
    reals,
    fakes,
    cosine_real,
    cosine_fake,
    against
from corrected
order by level, generators, corrected.generator
