/* --- trials of the experiment ------------------------------------------------------------------------------------------- */

/* Show a trial with the sample of @NAME@_samples.h: what is frozen in its phase, the sample, fresh states, its steps, the rest without
 * input. Gives the steps that ran, or what @NAME@_run gives when it fails. Call @NAME@_trial_end(m, step + ran) afterwards. */
int64_t @NAME@_show(@NAME@_model *m, int64_t trial, int64_t step);

typedef struct @NAME@_trial_row {
    int64_t phase, epoch, sample; /* -1: there is no such trial */
    int64_t steps, rest;          /* with the sample, and without input */
} @NAME@_trial_row;
@NAME@_trial_row @NAME@_trial(int64_t trial);

enum {
@LABELS@
    @UPPER@_LABELS = @COUNT_OF_LABELS@
};
extern const char *const @NAME@_labels[];

/* A label of the sample of a trial as text, NULL where its phase has none. */
const char *@NAME@_label(int64_t trial, int64_t label);

