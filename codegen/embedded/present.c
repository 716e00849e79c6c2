
/* --- trials --------------------------------------------------------------------------------------------------------------- */

#include "@NAME@_samples.h"

@LABEL_TABLE@

/* The phase of a trial; the trial becomes its number within the phase. */
static const shown_phase *phase_of(int64_t *const trial, int64_t *const number)
{
    for (size_t which = 0; which < sizeof phases/sizeof phases[0]; which++) {
        const int64_t all = phases[which].trials*phases[which].epochs;
        *number = (int64_t)which;
        if (*trial < all) return &phases[which];
        *trial -= all;
    }
    return NULL;
}

@NAME@_trial_row @NAME@_trial(const int64_t trial)
{
    @NAME@_trial_row row = {-1, -1, -1, 0, 0};
    int64_t within = trial, number = 0;
    const shown_phase *const phase = trial < 0 ? NULL : phase_of(&within, &number);
    if (phase != NULL) row = (@NAME@_trial_row){number, within/phase->trials, within % phase->trials, phase->steps, phase->rest};
    return row;
}

const char *@NAME@_label(const int64_t trial, const int64_t label)
{
    const @NAME@_trial_row row = @NAME@_trial(trial);
    if (row.phase < 0 || label < 0 || label >= @UPPER@_LABELS) return NULL;
    const char *const *const texts = phases[row.phase].labels[label];
    return texts == NULL ? NULL : texts[row.sample];
}

/* One slice of a sample into the arrays that take it; without a sample (-1) zeros. */
static void show_slice(@NAME@_model *const m, const shown_column *const column, const int64_t sample, const int64_t slice)
{
    const int64_t start = (sample*column->slices + slice)*column->size;
    for (const int64_t *number = column->arrays; *number >= 0; number++) {
        int64_t count = 0;
        void *const memory = @NAME@_array(m, *number, &count);
        for (int64_t i = 0; i < count; i++) {
            const int64_t at = start + (column->size == 1 ? 0 : i % column->size);
            const double value = sample < 0 ? 0.0 : column->codes != NULL ? column->values[column->codes[at]] : column->values[at];
            switch (@NAME@_arrays[*number].type) {
            case 'r': ((real *)memory)[i] = (real)value; break;
            case 'i': ((int32_t *)memory)[i] = (int32_t)value; break;
            default: ((uint8_t *)memory)[i] = value != 0; break;
            }
        }
    }
}

int64_t @NAME@_show(@NAME@_model *const m, const int64_t trial, const int64_t step)
{
    const @NAME@_trial_row row = @NAME@_trial(trial);
    if (row.phase < 0) return 0;
    const shown_phase *const phase = &phases[row.phase];
    int64_t slices = 1, done = 0;
    for (int64_t which = 0; frozen_arrays[which] >= 0; which++) {
        int64_t count = 0;
        uint8_t *const frozen = @NAME@_array(m, frozen_arrays[which], &count);
        for (int64_t i = 0; i < count; i++) frozen[i] = phase->frozen[which];
    }
    for (int64_t which = 0; which < phase->count; which++) {
        if (phase->columns[which].slices > slices) slices = phase->columns[which].slices;
        show_slice(m, &phase->columns[which], row.sample, 0);
    }
    @NAME@_coefficients(m, step);
    @NAME@_trial_start(m, step);
    if (@UPPER@_RECORD_INITIAL && trial == 0 && !@NAME@_record(m, step - 1)) return -2;
    for (int64_t slice = 0; slice < slices; slice++) {
        const int64_t until = phase->steps*(slice + 1)/slices;
        for (int64_t which = 0; slice > 0 && which < phase->count; which++) {
            const int64_t own = phase->columns[which].slices;
            if (own > 1) show_slice(m, &phase->columns[which], row.sample, slice*own/slices);
        }
        if (slice > 0) @NAME@_coefficients(m, step + done);
        const int64_t ran = @NAME@_run(m, step + done, until - done);
        if (ran < 0) return ran;
        done = until;
    }
    if (phase->rest > 0) {
        for (int64_t which = 0; which < phase->count; which++) show_slice(m, &phase->columns[which], -1, 0);
        @NAME@_coefficients(m, step + done);
        const int64_t ran = @NAME@_run(m, step + done, phase->rest);
        if (ran < 0) return ran;
        done += phase->rest;
    }
    return done;
}
