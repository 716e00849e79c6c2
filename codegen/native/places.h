/* Where row r is in the arrays of the other side. Signals may come with `inner` rows of one sample side by side, its steps, where the other
 * side has the samples of a step side by side; inner = 1: both have the same order. */
static inline int64_t place_of(int64_t r, int64_t rows, int64_t inner) { return inner == 1 ? r : r%inner*(rows/inner) + r/inner; }

/* An optimizer's step over numbers of a gradient that nobody else needs: as they are made, instead of leaving them in an array. `numbers` are
 * those of the optimizer; m, v and p begin where the gradient would. */
typedef struct {
    void (*step)(int64_t n, const real *numbers, const real *gradient, real *m, real *v, real *p);
    const real *numbers;
    real *m, *v, *p;
} snn_optimizer;

static inline void move_on(const snn_optimizer *move, int64_t at, int64_t n, const real *gradient)
{
    move->step(n, move->numbers, gradient, move->m + at, move->v + at, move->p + at);
}

/* What a step is about to read of `n` numbers: fetched while their gradient is made. */
static inline void fetch_moved(const snn_optimizer *move, int64_t at, int64_t n)
{
    for (int64_t j = 0; j < n; j += 64/(int64_t)sizeof(real)) {
        __builtin_prefetch(move->m + at + j, 1);
        __builtin_prefetch(move->v + at + j, 1);
        __builtin_prefetch(move->p + at + j, 1);
    }
}
