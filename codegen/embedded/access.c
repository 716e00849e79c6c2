/* --- by name ------------------------------------------------------------------------------------------------------------- */

#include "@NAME@.h"
#include "@NAME@_data.h"

@TABLE@
@NAME@_model *@NAME@_new(const int threads)
{
    @NAME@_model *m = NULL;
    const int asked = threads > 1 && SNN_THREADS ? threads : 1;
    if (@NAME@_create(&m, &@NAME@_given, asked) <= 0) return NULL;
    @NAME@_setup(m, 0);
    @NAME@_coefficients(m, 0);
    if (@UPPER@_TRIALS == 0) @NAME@_trial_start(m, 0); /* else that of the first trial is the first */
    return m;
}

int @NAME@_record(@NAME@_model *const m, const int64_t step)
{
    for (int64_t number = 0; number < @UPPER@_RECORDS; number++) {
        const int64_t array = array_of_record[number];
        int64_t count = 0;
        if (array < 0) continue; /* events */
        const unsigned char *const memory = @NAME@_array(m, array, &count);
        const int64_t depth = @NAME@_arrays[array].depth, slot = snn_slot(step, 0, depth);
        if (!snn_record_values(&m->records[number], memory + slot*(count/depth)*m->records[number].bytes, step)) return 0;
    }
    return 1;
}

int64_t @NAME@_width(@NAME@_model *const m, const int64_t number) { return m->records[number].width; }

/* Whether a number is that of an array of this name; inputs of the network answer to their bare name too. */
static int is_named(const int64_t number, const char *const name)
{
    const char *const own = @NAME@_arrays[number].name, *const dot = strrchr(own, '.');
    return strcmp(own, name) == 0 || (@NAME@_arrays[number].input && dot != NULL && strcmp(dot + 1, name) == 0);
}

int64_t @NAME@_find(const char *const name)
{
    for (int64_t number = 0; number < @UPPER@_ARRAYS; number++)
        if (is_named(number, name)) return number;
    return -1;
}

int @NAME@_set_values(@NAME@_model *const m, const char *const name, const double *const values, const int64_t count, const int64_t step)
{
    int found = 0;
    for (int64_t number = 0; number < @UPPER@_ARRAYS; number++) {
        int64_t all = 0;
        if (!is_named(number, name)) continue;
        void *const memory = @NAME@_array(m, number, &all);
        if (count != 1 && count != all/@NAME@_arrays[number].depth) continue;
        for (int64_t i = 0; i < all; i++) {
            const double value = values[count == 1 ? 0 : i % count];
            switch (@NAME@_arrays[number].type) {
            case 'r': ((real *)memory)[i] = (real)value; break;
            case 'i': ((int32_t *)memory)[i] = (int32_t)value; break;
            default: ((uint8_t *)memory)[i] = value != 0; break;
            }
        }
        found++;
    }
    if (found > 0) @NAME@_coefficients(m, step);
    return found;
}

int @NAME@_set(@NAME@_model *const m, const char *const name, const double value, const int64_t step)
{
    return @NAME@_set_values(m, name, &value, 1, step);
}
