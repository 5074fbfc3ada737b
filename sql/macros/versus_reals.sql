-- One row: the cosines of one generator's fakes against those of reals, in one
-- variant, at one level; and one more of each variant and level: the mean over
-- its generators. It is a table with two arguments:
-- from versus_reals('clean', null)
--
-- of_variant   of the images; null: each variant apart
-- of_reals     the generator whose reals all fakes are measured against; null:
--              its own, or, of a generator without any, all reals of the DAG
-- generator    as in listing; null: the mean over those with an interval, each
--              with the same weight, where there are several
-- generators   how many that are; 1 of one generator
-- variant      clean, or the name of the perturbation
-- level        global: image and caption; local: mean over the objects
-- against      whose reals: own, all, or of_reals; null of the mean
-- reals        measured images labelled real; of the mean, their sum
-- fakes        measured images labelled fake; of the mean, their sum
-- cosine_real  mean cosine of the reals
-- cosine_fake  mean cosine of the fakes
-- difference   cosine_real - cosine_fake
-- low          lower end of its 95 % interval, by Welch's t, which allows for
--              unequal variances; null where a kind has fewer than two images,
--              or where no two cosines of a kind differ
-- high         upper end of it
-- p            of that t, two-sided: how often chance alone makes a difference
--              as large as this
-- auroc        probability that a real has a higher cosine than a fake; ties
--              half
-- auroc_low    lower end of its 95 % interval, by DeLong's variance, on the
--              logit scale; null where low is, and where auroc is 0 or 1
-- auroc_high   upper end of it
--
-- Images whose listings differ in their label are no part of it. An image that
-- counts for several generators is the same draw in each: the intervals of the
-- mean say so. Their degrees of freedom are the least of the generators'.

create macro versus_reals(of_variant, of_reals) as table

with source as materialized (

    from cosine_steps(of_variant)

),

steps as (

    select *
    from source
    where step is not null

),

tested as (

    select
        generator,
        bool_or(label = 0) as has_reals
    from (select distinct unnest(listed) as generator, label from source)
    group by generator
    having bool_or(label = 1)

),

-- which images count for which generator
counted as (

    select
        kinds.listed,
        kinds.label,
        tested.generator,
        case
            when of_reals::varchar is not null then of_reals
            when tested.has_reals then 'own'
            else 'all'
        end as against,
        count(*) over (partition by kinds.listed, kinds.label) > 1 as several
    from (select distinct listed, label from steps) as kinds
    cross join tested
    where
        case
            when kinds.label = 0 and of_reals is not null
                then list_contains(kinds.listed, of_reals)
            else
                list_position(kinds.listed, tested.generator) is not null
                or (kinds.label = 0 and not tested.has_reals)
        end

),

summed as (

    select
        counted.generator,
        steps.variant,
        steps.level,
        steps.step,
        coalesce(sum(images) filter (where label = 0), 0) as reals,
        coalesce(sum(images) filter (where label = 1), 0) as fakes
    from steps
    inner join counted using (listed, label)
    group by counted.generator, steps.variant, steps.level, steps.step

),

-- of each step the shares of the other kind that fit worse and better, those
-- of the same step counted half
ranked as materialized (

    select
        *,
        (sum(fakes) over ordered - fakes / 2)
        / nullif(sum(fakes) over whole, 0) as fakes_below,
        1 - (sum(reals) over ordered - reals / 2)
        / nullif(sum(reals) over whole, 0) as reals_above
    from summed
    window
        whole as (partition by generator, variant, level),
        ordered as (partition by generator, variant, level order by step)

),

-- sums of squares are about the means
by_ranks as (

    select
        generator,
        variant,
        level,
        sum(reals * fakes_below) / nullif(sum(reals), 0) as auroc,
        sum(reals * fakes_below ** 2) - sum(reals) * auroc ** 2 as ranks_real,
        sum(fakes * reals_above ** 2) - sum(fakes) * auroc ** 2 as ranks_fake
    from ranked
    group by generator, variant, level

),

by_kind as (

    select
        counted.generator,
        any_value(counted.against) as against,
        steps.variant,
        steps.level,
        steps.label,
        sum(images) as images,
        sum(images * cosine) / sum(images) as cosine,
        case
            when min(step) < max(step) then
                sum(images * (cosine * cosine + variance))
                - sum(images * cosine) ** 2 / sum(images)
            else 0
        end as spread
    from steps
    inner join counted using (listed, label)
    group by counted.generator, steps.variant, steps.level, steps.label

),

compared as (

    select
        generator,
        any_value(against) as against,
        variant,
        level,
        any_value(cosine) filter (where label = 0) as cosine_real,
        any_value(cosine) filter (where label = 1) as cosine_fake,
        any_value(spread) filter (where label = 0) as spread_real,
        any_value(spread) filter (where label = 1) as spread_fake,
        coalesce(any_value(images) filter (where label = 0), 0) as reals,
        coalesce(any_value(images) filter (where label = 1), 0) as fakes
    from by_kind
    group by generator, variant, level

),

-- per_…: what of a sum of squares is in the variance of the mean
measured as materialized (

    select
        compared.*,
        by_ranks.auroc,
        1 / nullif(reals * (reals - 1), 0) as per_real,
        1 / nullif(fakes * (fakes - 1), 0) as per_fake,
        nullif(spread_real * per_real + spread_fake * per_fake, 0) as variance,
        variance ** 2 / (
            (spread_real * per_real) ** 2 / (reals - 1)
            + (spread_fake * per_fake) ** 2 / (fakes - 1)
        ) as df,
        ranks_real * per_real + ranks_fake * per_fake as auroc_variance
    from compared
    inner join by_ranks using (generator, variant, level)

),

-- images that count for several generators; apart, since mostly there are none
shared as materialized (

    select
        counted.generator,
        steps.*
    from steps
    inner join counted using (listed, label)
    where counted.several

),

moving as (

    select
        shared.* exclude (cosine, variance),
        sqrt(case when label = 0 then per_real else per_fake end)
        * (
            cosine - case when label = 0 then cosine_real else cosine_fake end
        ) as by_cosine,
        sqrt(case when label = 0 then per_real else per_fake end)
        * (
            case when label = 0 then fakes_below else reals_above end - auroc
        ) as by_share
    from shared
    inner join ranked using (generator, variant, level, step)
    inner join measured using (generator, variant, level)
    where measured.variance is not null

),

-- what they add to the variances of sums over these generators; that cosines
-- of one step differ is too little to show there
added as (

    select
        variant,
        level,
        images * (sum(by_cosine) ** 2 - sum(by_cosine ** 2)) as variance,
        images * (sum(by_share) ** 2 - sum(by_share ** 2)) as auroc_variance
    from moving
    group by listed, label, variant, level, step, images

),

covariances as (

    select
        variant,
        level,
        sum(variance) as variance,
        sum(auroc_variance) as auroc_variance
    from added
    group by variant, level

),

means as (

    select
        count(*) as generators,
        variant,
        level,
        sum(reals) as reals,
        sum(fakes) as fakes,
        avg(cosine_real) as cosine_real,
        avg(cosine_fake) as cosine_fake,
        avg(auroc) as auroc,
        (sum(measured.variance) + coalesce(any_value(covariances.variance), 0))
        / count(*) ** 2 as variance,
        min(df) as df,
        (
            sum(measured.auroc_variance)
            + coalesce(any_value(covariances.auroc_variance), 0)
        ) / count(*) ** 2 as auroc_variance
    from measured
    left join covariances using (variant, level)
    where measured.variance is not null
    group by variant, level
    having count(*) > 1

),

rows as (

    select
        generator,
        1 as generators,
        against,
        variant,
        level,
        reals,
        fakes,
        cosine_real,
        cosine_fake,
        auroc,
        variance,
        df,
        case when variance is not null then auroc_variance end as auroc_variance
    from measured

    union all by name

    from means

),

reaching as (

    select
        *,
        cosine_real - cosine_fake as difference,
        t_bound(df) * sqrt(variance) as reach,
        1.959963984540054 * sqrt(auroc_variance)
        / nullif(auroc * (1 - auroc), 0) as auroc_reach
    from rows

)

select
    generator,
    generators,
    variant,
    level,
    against,
    reals::bigint as reals,
    fakes::bigint as fakes,
    cosine_real,
    cosine_fake,
    difference,
    difference - reach as low,
    difference + reach as high,
    t_area(abs(difference) / sqrt(variance), df) / t_area(0, df) as p,
    auroc,
    auroc / (auroc + (1 - auroc) * exp(auroc_reach)) as auroc_low,
    auroc / (auroc + (1 - auroc) * exp(-auroc_reach)) as auroc_high
from reaching
