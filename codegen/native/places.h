/* Where row r is in the arrays of the other side. Signals may come with `inner` rows of one sample side by side, its steps, where the other
 * side has the samples of a step side by side; inner = 1: both have the same order. */
static inline int64_t place_of(int64_t r, int64_t rows, int64_t inner) { return inner == 1 ? r : r%inner*(rows/inner) + r/inner; }
