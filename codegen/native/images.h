/* How convolutions see images: channels last inside and first outside, plans of pixels, and room in whole vectors. */

#define COLUMNS (2*WIDTH)

typedef struct snn_reach {
    int64_t groups, sources, targets;   /* channels of a group before and after */
    int64_t before, after, taps;        /* pixels before and after, places of the kernel */
    const int32_t *first, *from, *tap;  /* of target pixel p: entries first[p] .. first[p + 1] - 1 */
} snn_reach;

typedef struct snn_slide {
    int64_t groups, sources, targets;       /* channels of a group before and after */
    int64_t height, width, top, left;       /* of an image, and its margin */
    int64_t padded_height, padded_width;
    int64_t after, taps;                    /* pixels of an output, places of the kernel */
    const int32_t *pixel, *tap;             /* where in a padded image the window of an output begins, and what a tap adds to that */
} snn_slide;

SNN_INLINE int64_t rounded(int64_t n, int64_t to) { return (n + to - 1)/to*to; }

/* [pixel][step] to (channel, pixel) */
static void __attribute__((unused)) leave(const snn_reach *a, const real *y, int64_t step, real *out, int add)
{
    turn_over(a->after, a->targets, y, step, out, a->after, add);
}
