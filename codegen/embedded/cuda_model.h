/* What @NAME@.cu is given: memory and its first content, the words of struct snn_model, launch shapes, kernels in order, records.
 *
 * @PLAN@, @PRECISION@. Include it after @NAME@.cu, which declares snn_model and the kernels. manifest.json says the same. */
#ifndef SNN_FOLDER
#define SNN_FOLDER

#include <stddef.h>

namespace folder {

/* bytes of memory; at first the content of a file or `repeat` times an element of `width` bytes, then zeros; again: once more when a trial
 * begins. */
struct buffer_row {
    const char *name;
    unsigned long long bytes;
    const char *file;
    unsigned long long element;
    int width;
    unsigned long long repeat;
    int again;
};

/* buffer -1: the value. */
struct word_row {
    int buffer;
    unsigned long long value;
};

/* work: threads that the kernel can keep busy. */
struct kernel_row {
    const void *function;
    const char *name;
    long long work;
};

struct event_row {
    const char *label;
    long long size;
    int events, count;
    unsigned long long capacity;
};

/* type: f float, d double, i int32, b uint8. kept: rows that the device has memory for. chosen: a buffer of int64, the elements of the
 * array that are recorded, or -1 for all. */
struct value_row {
    const char *label;
    char type;
    int every;
    unsigned long long width;
    int kept, rows, base, chosen, array;
    unsigned long long slot;
};

struct queue_row {
    const char *name;
    int items, capacity, ring, number;
};

struct parameter_row {
    const char *name, *unit;
    char type;
    int input, buffer;
    unsigned long long count;
};

@TABLES@
@SAMPLES@
} // namespace folder

#endif
