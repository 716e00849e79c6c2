/* @PLAN@: a spiking network as a C library, written by snn. C11; -DSNN_THREADS=0 leaves threads out.
 *
 *     @NAME@_model *m = @NAME@_new(1);
 *     @NAME@_run(m, 0, 1000);                          steps 0 .. 999
 *     events = @NAME@_recorded(m, @UPPER@_RECORD_..., &steps, &values);
 *     @NAME@_forget(m, @UPPER@_RECORD_...);             records grow until they are emptied
 *     @NAME@_destroy(m);
 *
 * Units are ms, mV, pA, nS, pF, GOhm unless @NAME@_arrays says otherwise. The time of step n is (n + @UPPER@_TIME_OFFSET)*@UPPER@_DT ms.
 * A model is used by one thread at a time; different models share nothing. */
#ifndef @UPPER@_H
#define @UPPER@_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct @NAME@_model @NAME@_model;
typedef @REALTYPE@ @NAME@_real;

#define @UPPER@_DT @DT@            /* ms */
#define @UPPER@_TIME_OFFSET @OFFSET@
#define @UPPER@_STEPS @STEPS@      /* of the experiment */
#define @UPPER@_TRIALS @TRIALS@     /* samples that it presents */
#define @UPPER@_RECORD_INITIAL @INITIAL@ /* 1: it records what is there before its first step */

/* --- life -------------------------------------------------------------------------------------------------------------- */

/* A model with the numbers of @NAME@_data.h@READY@. NULL: there is not enough memory. */
@NAME@_model *@NAME@_new(int threads);
void @NAME@_destroy(@NAME@_model *m);

/* Run the steps from first on. Gives count; -1: the system refused a thread; -2: no memory for what was recorded or on its way. */
int64_t @NAME@_run(@NAME@_model *m, int64_t first, int64_t count);

/* A trial: states go back to their beginning, weights stay; afterwards what the model does at the end of a trial. */
void @NAME@_trial_start(@NAME@_model *m, int64_t step);
void @NAME@_trial_end(@NAME@_model *m, int64_t step);

@PRESENTED@/* --- numbers ----------------------------------------------------------------------------------------------------------- */

/* The arrays of the model. Names are those of the network: "E.v", "E.tau_m", "E->I.g.w". */
enum {
@ARRAYS@
    @UPPER@_ARRAYS = @COUNT_OF_ARRAYS@
};

typedef struct @NAME@_array_row {
    const char *name, *unit;
    char type;   /* 'r' @NAME@_real, 'i' int32_t, 'b' uint8_t */
    int input;   /* 1: an input of the network, found by its bare name too */
    int depth;   /* > 1: the last `depth` steps; that of step n begins at (n % depth)*count/depth */
} @NAME@_array_row;
extern const @NAME@_array_row @NAME@_arrays[];

/* The number of an array, or -1. */
int64_t @NAME@_find(const char *name);

/* The memory of an array and the number of its elements, to read and to write. */
void *@NAME@_array(@NAME@_model *m, int64_t number, int64_t *count);

/* Set every array of a name to one value, or to `count` values; the number of arrays that were set, 0 when none has the name and the
 * size. Constants that follow from parameters are computed again. */
int @NAME@_set(@NAME@_model *m, const char *name, double value, int64_t step);
int @NAME@_set_values(@NAME@_model *m, const char *name, const double *values, int64_t count, int64_t step);

/* The synapses of a connection, in the order of their weights: their number; pre and post are filled where they are not NULL. */
int64_t @NAME@_synapses(@NAME@_model *m, int64_t connection, int32_t *pre, int32_t *post);

/* --- what is recorded -------------------------------------------------------------------------------------------------- */

enum {
@RECORDS@
    @UPPER@_RECORDS = @COUNT_OF_RECORDS@
};

typedef struct @NAME@_record_row {
    const char *name, *unit;
    char type;     /* 'e' events: one int32_t, the neuron; else rows of 'r' @NAME@_real, 'i' int32_t, 'b' uint8_t */
    int64_t every; /* steps */
    int64_t size;  /* events: neurons that are watched */
} @NAME@_record_row;
extern const @NAME@_record_row @NAME@_records[];

/* What a recorder saw since it was last emptied: the number of events or rows, their steps and values. */
int64_t @NAME@_recorded(@NAME@_model *m, int64_t number, const int64_t **steps, const void **values);
void @NAME@_forget(@NAME@_model *m, int64_t number);

/* Record every variable as it is now, as of that step: step -1 is what is there before the first. 0: there is no memory. */
int @NAME@_record(@NAME@_model *m, int64_t step);

/* The number of values in a row of a recorder; 1 for events. */
int64_t @NAME@_width(@NAME@_model *m, int64_t number);

/* --- going back -------------------------------------------------------------------------------------------------------- */

/* The bytes of all that changes, copied where `to` is not NULL; and back: 0 when there is no memory. */
int64_t @NAME@_save(@NAME@_model *m, void *to);
int @NAME@_restore(@NAME@_model *m, const void *from);

/* Memory that is held, in bytes. */
int64_t @NAME@_bytes(@NAME@_model *m);

#ifdef __cplusplus
}
#endif
#endif
