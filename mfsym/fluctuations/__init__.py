"""What a finite network adds to the limit: fluctuations of order m^{-1/2} and means of order 1/m, without simulation."""
