/* How convolutions see images: channels last inside and first outside, plans of pixels, and room in whole vectors. */

#define COLUMNS (2*WIDTH)
#define ROWS 6 /* whose sums stay in registers, COLUMNS each */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)

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

typedef struct snn_frame {
    int64_t groups, sources, targets;                           /* channels of a group before and after */
    int64_t height, width, rows, columns;                       /* of an image before and after */
    int64_t kernel_y, kernel_x, stride_y, stride_x, top, left;
    int64_t apart_y;                                            /* between rows of the kernel */
} snn_frame;

SNN_INLINE int64_t rounded(int64_t n, int64_t to) { return (n + to - 1)/to*to; }

/* [pixel][step] to (channel, pixel) */
static void __attribute__((unused)) leave(const snn_reach *a, const real *y, int64_t step, real *out, int add)
{
    turn_over(a->after, a->targets, y, step, out, a->after, add);
}

/* Weights (group, output, input, tap) times `scale` as [group][block of targets][tap][source][width]; channels that are not there are 0. */
static void __attribute__((unused)) pack_weights(const snn_reach *a, const real *weight, real scale, int64_t backwards, int64_t width, real *packed)
{
    const int64_t blocks = rounded(a->targets, width)/width;
    for (int64_t g = 0; g < a->groups; g++)
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t t = 0; t < a->taps; t++)
                for (int64_t s = 0; s < a->sources; s++)
                    for (int64_t w = 0; w < width; w++) {
                        const int64_t d = b*width + w;
                        real value = 0;
                        if (d < a->targets) {
                            const int64_t at = backwards ? (g*a->sources + s)*a->targets + d : (g*a->targets + d)*a->sources + s;
                            value = scale*weight[at*a->taps + t];
                        }
                        *packed++ = value;
                    }
}
