-- One row: how far a method's figure is from that of a method which the run
-- compares to, on the same test images. Both were resampled together.
--
-- experiment  as in runs
-- run_id      as in runs
-- method      as in runs
-- compare_to  the other method
-- variant     as in runs
-- scope       'generator', or 'mean': of the generators not seen
-- generator   as in runs; null of a mean
-- generators  how many the figure is of
-- seen        as in runs
-- metric      ap, auroc, accuracy or balanced_accuracy
-- difference  the method's - that of compare_to
-- low         lower end of its 95 % interval; null without bootstrap
-- high        upper end of its 95 % interval
-- p           of a difference as far from 0 by chance, two-sided; of this
--             comparison alone: nothing is corrected for their number

with source as (

    from store.differences

)

from source
