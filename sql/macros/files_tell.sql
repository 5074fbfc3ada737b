-- One row: a trained run and a variant of its tested images in which files
-- alone tell reals from fakes: the baseline `metadata` (size, shape, format) has
-- an AUROC whose interval is further than 0.1 from 0.5, as the line above a
-- run's table says. Other methods may have learned no more than that:
-- from run_means left join files_tell() using (experiment, run_id, variant)
--
-- experiment  as in runs
-- run_id      as in runs
-- variant     of the tested images
-- files_tell  the AUROC, of the mean over unseen generators where that is so far,
--             else of the generator that it is furthest from 0.5 on: generators
--             that are told both ways round have a mean near 0.5. Below 0.5
--             files tell the other way round than was learned in training

create macro files_tell() as table

with asked as (

    select
        experiment,
        run_id,
        variant,
        scope,
        generator,
        auroc,
        greatest(
            coalesce(auroc_low, auroc) - 0.5, 0.5 - coalesce(auroc_high, auroc)
        ) as distance
    from store.runs
    where method = 'metadata' and auroc is not null

)

select
    experiment,
    run_id,
    variant,
    auroc as files_tell
from asked
where distance > 0.1
qualify
    row_number() over (
        partition by experiment, run_id, variant
        order by coalesce(scope = 'mean', false) desc, distance desc, generator
    )
    = 1
