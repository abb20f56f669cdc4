"""What views are drawn with: charts, tables, messages. Knows neither the engine nor the services."""
