"""Compiled least squares of a few terms: Cholesky's factor of the products of columns, and what is solved with it."""

import numba
import numpy as np

SMALLEST_PIVOT = 1e-10


@numba.njit(cache=True, nogil=True)
def add_products(products, row_values, weight):
    """Add the weighted products of one row's terms to the lower half of ``products``."""
    for row in range(len(row_values)):
        weighted = weight * row_values[row]
        for column in range(row + 1):
            products[row, column] += weighted * row_values[column]


@numba.njit(cache=True, nogil=True)
def factorize(products):
    """Cholesky factor in place, lower; returns how many columns depend on others: their terms will be 0."""
    dependent = 0
    for row in range(products.shape[0]):
        diagonal = products[row, row]
        pivot = diagonal
        for column in range(row):
            pivot -= products[row, column] ** 2
        if pivot <= SMALLEST_PIVOT * diagonal:
            dependent += 1
            products[row, row] = 1e30
        else:
            products[row, row] = np.sqrt(pivot)
        for below in range(row + 1, products.shape[0]):
            value = products[below, row]
            for column in range(row):
                value -= products[below, column] * products[row, column]
            products[below, row] = value / products[row, row]
    return dependent


@numba.njit(cache=True, nogil=True)
def substitute(factor, right):
    """Solve ``factor @ x = right`` in place."""
    for row in range(len(right)):
        for column in range(row):
            right[row] -= factor[row, column] * right[column]
        right[row] /= factor[row, row]


@numba.njit(cache=True, nogil=True)
def leverage_of(solved):
    """Sum of squares of what :func:`substitute` left of a row of the design: its leverage."""
    total = 0.0
    for value in solved:
        total += value * value
    return total


@numba.njit(cache=True, nogil=True)
def substitute_back(factor, right):
    """Solve ``factor.T @ x = right`` in place."""
    for row in range(len(right) - 1, -1, -1):
        for column in range(row + 1, len(right)):
            right[row] -= factor[column, row] * right[column]
        right[row] /= factor[row, row]
