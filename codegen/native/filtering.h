/* Convolutions of dense images by minimal filtering (Winograd 1980; Lavin & Gray 2016): a tile of 8 x 8 numbers is evaluated at eight points
 * along each axis (0, 1, -1, 2, -2, 1/2, -1/2 and infinity), where a convolution is one product for each of the 64 pairs of points, summed
 * over channels; a kernel of K places then gives 9 - K results along its axis. 5 x 5 places need 64 products for 16 results instead of 400,
 * at a few times the rounding error. Only gradients take this way: a sum of zeros, or of halves, would not be exact, which spikes may show
 * and gradients do not. Strides and dilations of 1, kernels of 2 to 7 places. */

#define POINTS 8
#define PAIRS (POINTS*POINTS)
#define TILES 24  /* tiles that go through the products together */

typedef struct snn_tiles {
    int64_t groups, sources, targets;             /* channels of a group of what arrives, and of what it is brought back to */
    int64_t rows, columns, height, width;         /* of an image of what arrives, and of what it is brought back to */
    int64_t kernel_y, kernel_x, top, left;        /* of the convolution forwards */
} snn_tiles;

static const real point[POINTS] __attribute__((unused)) = {0, 1, -1, 2, -2, (real)0.5, (real)-0.5, 0};
static const double factor[POINTS] = {1, -2.0/9, -2.0/9, 1.0/90, 1.0/90, 32.0/45, 32.0/45, 1};

SNN_INLINE int64_t results(int64_t kernel) { return POINTS + 1 - kernel; }

SNN_INLINE int64_t tiles_of(int64_t size, int64_t kernel) { return (size + results(kernel) - 1)/results(kernel); }

/* Eight numbers along an axis, as the points see them; in and out are `in_step` and `out_step` vectors apart. */
static void __attribute__((noinline)) evaluate(const real *restrict in, int64_t in_step, real *restrict out, int64_t out_step)
{
#define AT(i) (*(const vec_any *)(in + (i)*in_step))
#define PUT(i) *(vec_any *)(out + (i)*out_step)
    const vec d0 = AT(0), d1 = AT(1), d2 = AT(2), d3 = AT(3), d4 = AT(4), d5 = AT(5), d6 = AT(6), d7 = AT(7);
    const real c21 = (real)5.25, c17 = (real)4.25, c5 = (real)1.25, half = (real)0.5, quarter = (real)0.25;
    PUT(0) = d0 - d6 + c21*(d4 - d2);
    PUT(7) = d7 - d1 + c21*(d3 - d5);
    const vec even1 = d2 + d6 - c17*d4, odd1 = d1 + d5 - c17*d3;
    PUT(1) = even1 + odd1;
    PUT(2) = even1 - odd1;
    const vec even2 = d6 + quarter*d2 - c5*d4, odd2 = half*d1 - 2*c5*d3 + 2*d5;
    PUT(3) = even2 + odd2;
    PUT(4) = even2 - odd2;
    const vec even3 = d6 + 4*d2 - 4*c5*d4, odd3 = 2*d1 - 2*c5*d3 + half*d5;
    PUT(5) = even3 + odd3;
    PUT(6) = even3 - odd3;
#undef AT
}

/* Products at the points to `count` numbers along an axis. */
static void __attribute__((noinline)) interpolate(const real *restrict in, int64_t in_step, real *restrict out, int64_t out_step, int64_t count)
{
#define AT(i) (*(const vec_any *)(in + (i)*in_step))
    const vec first = AT(0), last = AT(7);
    const vec even1 = AT(1) + AT(2), odd1 = AT(1) - AT(2), even2 = AT(3) + AT(4), odd2 = AT(3) - AT(4);
    const vec even3 = AT(5) + AT(6), odd3 = AT(5) - AT(6);
    real up = 1, low = 1;
    for (int64_t k = 0; k < count; k++, up *= 2, low *= (real)0.5) {
        vec made = k%2 == 0 ? even1 + up*even2 + low*even3 : odd1 + up*odd2 + low*odd3;
        if (k == 0) made += first;
        if (k == count - 1) made += last;
        PUT(k) = made;
    }
#undef AT
#undef PUT
}
