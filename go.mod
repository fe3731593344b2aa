module github.com/sterlingrun/sterling

go 1.26.0
