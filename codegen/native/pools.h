/* Pools: sums over windows of planes (images times channels), their greatest values, and the adjoints of both. */

/* The taps of a window that begins at `at` which lie within 0 .. size - 1: from *low to *high - 1. */
SNN_INLINE void inside(int64_t at, int64_t size, int64_t kernel, int64_t apart, int64_t *low, int64_t *high)
{
    int64_t a = 0, b = kernel;
    while (a < b && at + a*apart < 0) a++;
    while (b > a && at + (b - 1)*apart >= size) b--;
    *low = a;
    *high = b;
}

SNN_INLINE void put(real *place, real value, int64_t add) { *place = add ? *place + value : value; }

void snn_pool_forward(const snn_pool *a, const real *in, real *out, int64_t first, int64_t last, int64_t greatest, real factor, int64_t add)
{
    for (int64_t plane = first; plane < last; plane++) {
        const real *const x = in + plane*a->height*a->width;
        real *const y = out + plane*a->rows*a->columns;
        for (int64_t r = 0; r < a->rows; r++) {
            int64_t low, high;
            inside(r*a->stride_y - a->top, a->height, a->kernel_y, a->apart_y, &low, &high);
            for (int64_t c = 0; c < a->columns; c++) {
                int64_t begin, end;
                inside(c*a->stride_x - a->left, a->width, a->kernel_x, a->apart_x, &begin, &end);
                real made = greatest ? -(real)__builtin_inf() : (real)0;
                for (int64_t i = low; i < high; i++)
                    for (int64_t j = begin; j < end; j++) {
                        const real u = x[(r*a->stride_y - a->top + i*a->apart_y)*a->width + c*a->stride_x - a->left + j*a->apart_x];
                        if (greatest) made = u > made ? u : made;
                        else made += u;
                    }
                put(y + r*a->columns + c, factor*made, add);
            }
        }
    }
}

/* `sent` is looked at for maxima only: the gradient goes to the first of the window that is the greatest. */
void snn_pool_backward(const snn_pool *a, const real *bars, const real *sent, real *out, int64_t first, int64_t last, int64_t greatest,
                       real factor, int64_t add)
{
    const int64_t around = a->height*a->width;
    const int64_t plain = !greatest && a->kernel_y == a->stride_y && a->kernel_x == a->stride_x && a->top == 0 && a->left == 0 &&
                          a->apart_y == 1 && a->apart_x == 1;
    for (int64_t plane = first; plane < last; plane++) {
        const real *const y = bars + plane*a->rows*a->columns;
        real *const x = out + plane*around;
        if (plain) { /* windows that touch: each pixel belongs to one at most */
            for (int64_t h = 0; h < a->height; h++) {
                const int64_t r = h/a->kernel_y;
                real *restrict made = x + h*a->width;
                if (r >= a->rows) {
                    if (!add) for (int64_t w = 0; w < a->width; w++) made[w] = 0;
                    continue;
                }
                const real *restrict from = y + r*a->columns;
                for (int64_t w = 0; w < a->width; w++) {
                    const int64_t c = w/a->kernel_x;
                    put(made + w, c < a->columns ? factor*from[c] : (real)0, add);
                }
            }
            continue;
        }
        if (!add) memset(x, 0, (size_t)around*sizeof(real));
        for (int64_t r = 0; r < a->rows; r++) {
            int64_t low, high;
            inside(r*a->stride_y - a->top, a->height, a->kernel_y, a->apart_y, &low, &high);
            for (int64_t c = 0; c < a->columns; c++) {
                int64_t begin, end, best = -1;
                inside(c*a->stride_x - a->left, a->width, a->kernel_x, a->apart_x, &begin, &end);
                const real value = factor*y[r*a->columns + c];
                for (int64_t i = low; i < high; i++)
                    for (int64_t j = begin; j < end; j++) {
                        const int64_t at =
                            (r*a->stride_y - a->top + i*a->apart_y)*a->width + c*a->stride_x - a->left + j*a->apart_x;
                        if (!greatest) x[at] += value;
                        else if (best < 0 || sent[plane*around + at] > sent[plane*around + best]) best = at;
                    }
                if (best >= 0) x[best] += value;
            }
        }
    }
}
